"""The servers are what the suites take them for: strict where it matters."""

from __future__ import annotations

import gzip

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

DATA = bytes(range(256)) * 4096


def test_nginx_serves_ranges_and_tells_versions_apart(nginx):
    nginx.put("a b#1.bin", DATA)
    url = f"{nginx.url}/plain/a%20b%231.bin"
    whole = requests.get(url, timeout=60)
    assert whole.content == DATA
    part = requests.get(url, headers={"Range": "bytes=5-9"}, timeout=60)
    assert (part.status_code, part.content) == (206, DATA[5:10])
    nginx.put("a b#1.bin", DATA[::-1])
    headers = {"Range": "bytes=5-9", "If-Range": whole.headers["ETag"]}
    assert requests.get(url, headers=headers, timeout=60).content == DATA[::-1]


def test_nginx_lists_compresses_and_guards_where_it_is_told_to(nginx):
    nginx.put("folder/x.txt", b"text" * 1000)
    nginx.put("folder/x.txt.gz", gzip.compress(b"text" * 1000))
    listed = requests.get(f"{nginx.url}/json/folder/", timeout=60).json()
    names = [found["name"] for found in listed]
    assert names == ["x.txt", "x.txt.gz"]
    assert '<a href="x.txt">' in requests.get(f"{nginx.url}/html/folder/", timeout=60).text
    assert requests.get(f"{nginx.url}/plain/folder/", timeout=60).status_code == 403
    plain = {"Accept-Encoding": "identity"}
    forced = requests.get(f"{nginx.url}/forced-gzip/folder/x.txt", headers=plain, timeout=60)
    assert forced.headers["Content-Encoding"] == "gzip"
    secret = f"{nginx.url}/secret/folder/x.txt"
    assert requests.get(secret, timeout=60).status_code == 401
    assert requests.get(secret, auth=(nginx.user, nginx.password), timeout=60).ok


def client(server, key: str, secret: str):
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_swift_keeps_what_is_put_and_refuses_a_wrong_signature(swift):
    s3 = client(swift, swift.key, swift.secret)
    s3.create_bucket(Bucket="servers")
    s3.put_object(Bucket="servers", Key="a b#?%20+é//x", Body=DATA)
    assert s3.get_object(Bucket="servers", Key="a b#?%20+é//x")["Body"].read() == DATA
    [found] = s3.list_objects_v2(Bucket="servers")["Contents"]
    assert (found["Key"], found["Size"]) == ("a b#?%20+é//x", len(DATA))
    for key, secret, refusal in (
        (swift.key, "another", "SignatureDoesNotMatch"),
        (swift.other_key, swift.other_secret, "NoSuchBucket"),
    ):
        with pytest.raises(ClientError) as caught:
            client(swift, key, secret).list_objects_v2(Bucket="servers")
        assert caught.value.response["Error"]["Code"] == refusal


def test_swift_puts_parts_together(swift):
    s3 = client(swift, swift.key, swift.secret)
    s3.create_bucket(Bucket="parts")
    upload = s3.create_multipart_upload(Bucket="parts", Key="big")["UploadId"]
    data = DATA * 6
    where = {"Bucket": "parts", "Key": "big", "UploadId": upload}
    tags = [s3.upload_part(**where, PartNumber=n, Body=data)["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="parts", Key="big")["Body"].read() == data * 2
    found = s3.get_object(Bucket="parts", Key="big", Range=f"bytes={len(data) - 1}-{len(data)}")
    assert found["Body"].read() == data[-1:] + data[:1]
