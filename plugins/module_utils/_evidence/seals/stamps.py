# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time stamps (RFC 3161): what is asked of an authority, and whether what it answers is one.

A seal's file is the authority's whole answer, C(TimeStampResp), as C(openssl ts -verify -in) takes it. Revocation is not asked for.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    MissingLibrary,
    OptionsError,
    printable,
)

_SHA256 = "2.16.840.1.101.3.4.2.1"
# MD5 and SHA-1: whoever can make two contents of one hash can move a stamp.
_BROKEN = {"1.2.840.113549.2.5", "1.3.14.3.2.26"}
_GRANTED = 0
# The first version that takes the signer's certificate for that, and not just any that is for time stamps: one more in the stamp
# could vouch for the purpose.
_LEAST = [1, 0, 6]
_BEGIN = re.compile(rb"-----BEGIN CERTIFICATE-----")
# The tag of the certificates in a SignedData (RFC 5652, 5.1).
_CERTIFICATES = 0xA0
# What OpenSSL says of a chain, in our words.
_CHAIN = (
    (
        re.compile("local issuer|self.signed|issuer certificate"),
        "tsa_ca_path does not hold the authority that it is by",
    ),
    (
        re.compile("signer certificate not found|Certificates neither found"),
        "it does not hold the certificate that it is signed with, and neither does tsa_ca_path",
    ),
    (re.compile("has expired"), "the authority's certificate was not valid any more at that time"),
    (re.compile("not yet valid"), "the authority's certificate was not yet valid at that time"),
    (re.compile("purpose"), "the certificate that it is signed with is not one for time stamps alone"),
)
_SAID = (re.compile(r'"Verify error: ?([^"]+)"'), re.compile(r'reason: "([^"]+)"'))


class NotValid(Exception):
    """Why a seal is none, as the end of a sentence that begins with the seal."""


@dataclass(frozen=True)
class Question:
    """What an authority is asked. nonce: what its answer must repeat."""

    content: bytes
    nonce: int


@dataclass(frozen=True)
class Trust:
    """The certificates of authorities that are trusted, and those between them and the ones that sign."""

    roots: Sequence[t.Any]
    others: Sequence[t.Any]


@dataclass(frozen=True)
class Stamp:
    """An authority's answer. digest: SHA-256 of what it is for. time: seconds since 1970, the authority's. signer: its name."""

    digest: str
    time: float
    nonce: int | None
    signer: str
    answer: t.Any


def library() -> t.Any:
    """Raises MissingLibrary."""
    advice = (
        "Install it for the Python that runs Ansible on the control node (ansible --version shows which), or use an execution environment "
        "that has it."
    )
    try:
        import rfc3161_client

        version = metadata.version("rfc3161-client")
    except ImportError:
        raise MissingLibrary(missing_required_lib("rfc3161-client", reason="for time stamps"), advice=advice) from None
    if [int(each) for each in re.findall(r"\d{1,9}", version)[:3]] < _LEAST:
        least = ".".join(map(str, _LEAST))
        raise MissingLibrary(
            f"Time stamps need the Python library rfc3161-client {least} or later, but {version} is installed.",
            advice=advice,
        )
    return rfc3161_client


def trust(path: str) -> Trust:
    """What tsa_ca_path holds: a PEM file, or a folder of such files. Raises OptionsError, MissingLibrary."""
    library()
    from cryptography import x509

    try:
        place = Path(path)
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        pem = [each.read_bytes() for each in files if not each.is_dir()]
        found = [one for text in pem if _BEGIN.search(text) for one in x509.load_pem_x509_certificates(text)]
    except OSError as failure:
        raise OptionsError(
            f"tsa_ca_path {path} cannot be read: {failure.strerror}.", advice="Give a PEM file or a folder of them."
        ) from None
    except ValueError:
        raise OptionsError(
            f"tsa_ca_path {path} holds a certificate that cannot be read.",
            advice="Give a PEM file or a folder of them.",
        ) from None
    roots = [each for each in found if each.subject == each.issuer]
    if not roots:
        raise OptionsError(
            f"tsa_ca_path {path} holds no root certificate (one that is its own issuer).",
            advice="Give the certificate of the authority's root, in PEM; those between may stand in the same file.",
        )
    return Trust(roots, [each for each in found if each.subject != each.issuer])


def question(line: bytes) -> Question:
    """What an authority is asked for a line of the log: the line's SHA-256, and no more. Raises MissingLibrary."""
    client = library()
    request = client.TimestampRequestBuilder().data(line).hash_algorithm(client.HashAlgorithm.SHA256).build()
    return Question(request.as_bytes(), request.nonce)


def read(content: bytes) -> Stamp:
    """Raises NotValid for what is no time stamp with SHA-256, and MissingLibrary. Whose it is, only judge says."""
    client = library()
    try:
        answer = client.decode_timestamp_response(_in_order(content))
        status = int(answer.status)
    except Exception:  # the library says so in many ways
        raise NotValid("it is no answer of a time-stamping authority") from None
    if status != _GRANTED:
        said = "; ".join(map(str, answer.status_string)) or f"status {status}"
        raise NotValid(f"the authority has refused it: {printable(said).rstrip('.')}")
    try:
        facts = answer.tst_info
        imprint = facts.message_imprint
        hashed, digest = imprint.hash_algorithm.dotted_string, imprint.message.hex()
        stamp = Stamp(digest, facts.gen_time.timestamp(), facts.nonce, _signer(answer), answer)
        algorithms = {each.dotted_string for each in answer.signed_data.digest_algorithms}
    except Exception:
        raise NotValid("it is damaged") from None
    if hashed != _SHA256:
        raise NotValid(f"it is not for a SHA-256, but for another hash ({hashed})")
    if algorithms & _BROKEN:
        raise NotValid("it is signed over MD5 or SHA-1, which can be forged")
    return stamp


def _in_order(content: bytes) -> bytes:
    """An answer with its certificates in the order that DER wants of a set, without which the library reads none.

    OpenSSL's authorities write them as the chain goes. The order is no part of what is signed, and nothing gets longer by it.
    """
    try:
        # TimeStampResp, its token, what the token holds, that as SignedData, and therein the certificates.
        inside = _parts(content, 0, len(content))[0]
        for number in (1, 1, 0):
            inside = _parts(content, *inside[1:])[number]
        start, end = next(part[1:] for part in _parts(content, *inside[1:]) if part[0] == _CERTIFICATES)
    except (IndexError, StopIteration):
        return content
    ends = [start, *(part[2] for part in _parts(content, start, end))]
    certificates = sorted(content[begin:until] for begin, until in pairwise(ends))
    return content[:start] + b"".join(certificates) + content[end:]


def _parts(content: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """The DER values between two places: of each its tag, where its content begins, and where it ends. Raises IndexError."""
    parts = []
    while start < end:
        tag, length, start = content[start], content[start + 1], start + 2
        if length >= 0x80:
            more = length & 0x7F
            length, start = int.from_bytes(content[start : start + more], "big"), start + more
        if start + length > end:
            raise IndexError
        parts.append((tag, start, start + length))
        start += length
    return parts


def _signed_with(answer: t.Any, certificates: t.Iterable[t.Any]) -> t.Any:
    """The certificate that an answer says it is signed with, None if it is not among these."""
    said = {(each.issuer, each.serial_number) for each in answer.signed_data.signer_infos}
    return next((each for each in certificates if (each.issuer, each.serial_number) in said), None)


def _signer(answer: t.Any) -> str:
    """The name in the certificate that it is signed with."""
    from cryptography import x509

    found = _signed_with(answer, (x509.load_der_x509_certificate(each) for each in answer.signed_data.certificates))
    return printable(found.subject.rfc4514_string()) if found else "an authority that does not name itself"


def answers(stamp: Stamp, line: bytes, nonce: int | None) -> None:
    """Raises NotValid if it is for something else, or the answer to another question. nonce: None if it is not known any more."""
    if stamp.digest != hashlib.sha256(line).hexdigest():
        raise NotValid(f"it is for another hash ({stamp.digest})")
    if nonce is not None and stamp.nonce != nonce:
        raise NotValid("it answers another request (the nonce differs)")


def judge(stamp: Stamp, trusted: Trust) -> None:
    """Raises NotValid if nobody who is trusted vouches for it: chain and usage at the stamp's own time, signature, key usage."""
    client = library()
    given = [*trusted.roots, *trusted.others]
    # An authority may leave its certificate out, and then who trusts it has it.
    own = None if stamp.answer.signed_data.certificates else _signed_with(stamp.answer, given)
    verifier = client.VerifierBuilder(
        roots=list(trusted.roots), intermediates=list(trusted.others), tsa_certificate=own
    ).build()
    try:
        verifier.verify(stamp.answer, bytes.fromhex(stamp.digest))
    except client.VerificationError as failure:
        raise NotValid(_in_words(str(failure))) from None
    except Exception:  # what can be wrong with a certificate has many names
        raise NotValid("its certificates cannot be read") from None


def _in_words(said: str) -> str:
    reason = next((match[1] for pattern in _SAID if (match := pattern.search(said))), said)
    known = next((words for pattern, words in _CHAIN if pattern.search(reason)), None)
    return known or f"the authority's signature does not hold ({printable(reason).rstrip('.')})"
