"""Credentials of a role that is assumed with other ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from rv_fs_s3._settings import S3Settings


class RoleProvider(CredentialProvider):
    """Assumes the role of the settings with the credentials that boto3 finds, of their profile if
    given."""

    METHOD = "assume-role"
    CANONICAL_NAME = "rv-fs-s3"

    def __init__(self, role_arn: str, settings: S3Settings) -> None:
        super().__init__()
        self._role_arn = role_arn
        self._settings = settings

    def load(self) -> DeferredRefreshableCredentials:
        """Credentials that are renewed before they expire."""
        settings = self._settings
        source = botocore.session.Session(profile=settings.profile)
        credentials = source.get_credentials()
        if credentials is None:
            raise NoCredentialsError

        def sts(service: str, **options: Any) -> Any:
            # It is asked once an hour: botocore's own retries do for it.
            config = Config(
                connect_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
                retries={"total_max_attempts": 3},
                proxies=dict(settings.proxies) or None,
            )
            return source.create_client(
                service,
                region_name=settings.region,
                verify=settings.ca_bundle,
                config=config,
                **options,
            )

        fetcher = AssumeRoleCredentialFetcher(
            sts, credentials, self._role_arn, extra_args={"RoleSessionName": "rv"}
        )
        return DeferredRefreshableCredentials(
            refresh_using=fetcher.fetch_credentials, method=self.METHOD
        )
