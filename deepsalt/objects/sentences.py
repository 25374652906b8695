"""Errors of servers, obstore and Icechunk, as one sentence each.

Their own texts are never repeated: they quote requests and answers, which contain signatures.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from deepsalt.access import without_secrets
from deepsalt.errors import (
    MissingObjectError,
    StoreAccessError,
    StoreAwayError,
    StoreError,
    StoreMissingError,
    StoreUnfitError,
)
from deepsalt.objects.connection.credentials import aws_keys
from deepsalt.objects.disk import unstorable
from deepsalt.objects.location import StoreLocation

Verb = Literal["read", "write", "create", "list", "delete"]

_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)|code: \"(\w+)\"|unhandled error \((\w+)\)")
_STATUS = re.compile(r"status(?: code)?:? (?:StatusCode\()?(\d{3})")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_RETRIES = re.compile(r" in [0-9.]+[mµn]?s(, after \d+ retries)?.*")

_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
    "AuthenticationRequired",
}
_WRONG_REGION = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_UNKNOWN_HEADER = {"NotImplemented", "InvalidArgument"}
_ILL = {"SlowDown", "ServiceUnavailable", "InternalError", "ServerBusy", "OperationTimedOut"}
_METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "metadata.google.internal",
    "/latest/api/token",
    "loading credentials",
    "AccessTokenCredentialsNotFound",
    "adc_quota",
)
_AZURE_READER = "the role Storage Blob Data Reader"
_AZURE_WRITER = "the role Storage Blob Data Contributor"
_IS_NOBODY = "lacked valid authentication"
_RIGHTS: dict[str, dict[Verb, str]] = {
    "s3": {
        "read": "s3:GetObject and s3:ListBucket",
        "write": "s3:PutObject",
        "create": "s3:PutObject",
        "list": "s3:ListBucket",
        "delete": "s3:DeleteObject",
    },
    "gs": {
        "read": "storage.objects.get",
        "write": "storage.objects.create and .delete",
        "create": "storage.objects.create",
        "list": "storage.objects.list",
        "delete": "storage.objects.delete",
    },
    "az": {
        "read": _AZURE_READER,
        "list": _AZURE_READER,
        "write": _AZURE_WRITER,
        "create": _AZURE_WRITER,
        "delete": _AZURE_WRITER,
    },
}
_DONE: dict[Verb, str] = {
    "read": "read",
    "write": "written",
    "create": "created",
    "list": "listed",
    "delete": "deleted",
}
_SET = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}


@contextmanager
def reaching(location: StoreLocation, verb: Verb, key: str = "") -> Iterator[None]:
    """Turn errors of obstore and Icechunk in the block into one sentence.

    Raises
    ------
    StoreError
        The subclass tells the cause.
    """
    from obstore.exceptions import BaseError

    errors: tuple[type[BaseException], ...] = (BaseError, OSError, ValueError, NotImplementedError)
    if icechunk := sys.modules.get("icechunk"):
        errors = (*errors, icechunk.IcechunkError)
    try:
        yield
    except errors as error:
        text = str(error)
        if location.kind == "s3" and _IS_NOBODY in text and _status_of(text) is None:
            aws_keys()  # explains itself why there are none
        raise sentence(text, location, verb, key) from None


def sentence(text: str, location: StoreLocation, verb: Verb, key: str = "") -> StoreError:
    """Return the error for a library's text.

    Parameters
    ----------
    text
        The library's text.
    location
        Where.
    verb
        The attempted verb.
    key
        The object; empty for several.
    """
    code = _code_of(text)
    status = _status_of(text)
    what = f"{location}/{key}" if key else str(location)
    because = f" ({code or status})" if code or status else ""
    if location.kind in ("file", "memory"):
        return _of_this_machine(text, location, verb, key)
    bucket = f"{location.kind}://{location.bucket}"
    if code in _NO_BUCKET or (status == 404 and verb in ("write", "create", "list")):
        return StoreMissingError(
            f"{bucket} does not exist{because}; create it, or check its name and the endpoint in "
            f"the environment"
        )
    if code in _EXPIRED:
        return StoreAccessError(
            f"the credentials for {bucket} have expired{because}; log in again and run again"
        )
    if code == "RequestTimeTooSkewed":
        return StoreAccessError(
            f"this machine's clock differs from that of the server of {bucket}; set it and run "
            f"again"
        )
    if code in _WRONG_REGION or "normally indicates an incorrectly configured region" in text:
        return StoreAccessError(
            f"{bucket} is in another region{because}; set AWS_REGION to the bucket's"
        )
    if any(mark in text for mark in _METADATA) or (not status and _IS_NOBODY in text):
        return StoreAccessError(
            f"no credentials for {bucket} were found in the environment or on this machine; set "
            f"{_SET[location.kind]}"
        )
    if code in _WRONG_KEYS or status == 401:
        return StoreAccessError(
            f"the credentials for {bucket} are not accepted{because}; renew "
            f"{_SET[location.kind]}, and check the endpoint in the environment"
        )
    if status == 403 or code == "AccessDenied":
        return StoreAccessError(
            f"{what} cannot be {_DONE[verb]} with these credentials{because}; ask for "
            f"{_RIGHTS[location.kind][verb]}"
        )
    if status == 404:
        return MissingObjectError(f"{what} does not exist")
    is_unknown = verb == "create" and (status in (405, 501) or code in _UNKNOWN_HEADER)
    # Icechunk either creates only if absent or replaces only if unchanged.
    if is_unknown or (verb == "write" and code == "NotImplemented"):
        return StoreUnfitError(
            f"{bucket} cannot hold a store: its server lacks conditional writes"
            f"{because}, so two writers could overwrite each other; use another server"
        )
    if "certificate" in text or "UnknownIssuer" in text:
        return StoreAccessError(
            f"the certificate of the server of {bucket} is not trusted; set SSL_CERT_FILE to that "
            f"of its authority"
        )
    ill = code in _ILL or status == 429 or (status or 0) >= 500 or is_untold(text)
    if ill or (status is None and _is_silence(text)):
        how = "answers with errors" if ill else "does not answer"
        if "dns error" in text:
            how = "has an unknown host name"
        return StoreAwayError(
            f"the server of {what} {how}{because}; check the endpoint in the environment and the "
            "network, or try again later"
        )
    gist = without_secrets(_RETRIES.sub("", text.partition("\n")[0]))[:150]
    return StoreError(
        f"{what} could not be {_DONE[verb]}{because}: {gist or 'no reason was given'}"
    )


def is_without_bucket(text: str) -> bool:
    """Whether the bucket itself is missing."""
    return _code_of(text) in _NO_BUCKET


def is_untold(text: str) -> bool:
    """Whether Icechunk says that a server refused, but not how."""
    return text.partition("\n")[0].endswith("object store service error")


def is_in_progress(text: str) -> bool:
    """Whether a conditional write was refused because of a concurrent one."""
    return _code_of(text) == "ConditionalRequestConflict"


def _of_this_machine(text: str, location: StoreLocation, verb: Verb, key: str) -> StoreError:
    what = f"{location}/{key}" if key else str(location)
    if found := _OS_ERROR.search(text):
        number = int(found[1])
        return unstorable(Path(what), OSError(number, text.partition("\n")[0][:150]))
    if "not found" in text or "No data in memory" in text:
        return MissingObjectError(f"{what} does not exist")
    gist = text.partition("\n")[0][:150]
    return StoreError(f"{what} could not be {_DONE[verb]}: {gist or 'no reason was given'}")


def _is_silence(text: str) -> bool:
    return any(mark in text for mark in ("HTTP error", "dispatch failure", "timed out"))


def _code_of(text: str) -> str | None:
    found = _CODE.search(text)
    return None if found is None else next(group for group in found.groups() if group)


def _status_of(text: str) -> int | None:
    found = _STATUS.search(text)
    return None if found is None else int(found[1])
