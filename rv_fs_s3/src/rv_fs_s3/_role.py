"""Credentials of a role that is assumed with other ones."""

from __future__ import annotations

from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError

# The service of the roles is asked once an hour: botocore's own retries do for it.
_CONFIG: Final = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})


class RoleProvider(CredentialProvider):
    """Assumes ``role_arn`` with the credentials that boto3 finds, of ``profile`` if given."""

    METHOD = "assume-role"
    CANONICAL_NAME = "rv-fs-s3"

    def __init__(self, role_arn: str, profile: str | None) -> None:
        super().__init__()
        self._role_arn = role_arn
        self._profile = profile

    def load(self) -> DeferredRefreshableCredentials:
        """Credentials that are renewed before they expire."""
        source = botocore.session.Session(profile=self._profile)
        credentials = source.get_credentials()
        if credentials is None:
            raise NoCredentialsError

        def sts(service: str, **options: Any) -> Any:
            return source.create_client(service, config=_CONFIG, **options)

        fetcher = AssumeRoleCredentialFetcher(
            sts, credentials, self._role_arn, extra_args={"RoleSessionName": "rv"}
        )
        return DeferredRefreshableCredentials(
            refresh_using=fetcher.fetch_credentials, method=self.METHOD
        )
