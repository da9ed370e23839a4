# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import sha256_of_line, with_digest
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import sealing as _sealing
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import signatures
from ansible_collections.secops.defender.plugins.module_utils._service import time_stamps as _time_stamps
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence.test_verify import MACHINES, collect
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Teller, ask
from simulator.sealing import Signer, TimeAuthority

KEYS = ["changed", "error", "failed", "head", "msg", "node", "seals", "seq"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[TimeAuthority]:
    with TimeAuthority(tmp_path_factory.mktemp("authority")) as running:
        yield running


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    collect(tmp_path / "evidence", *MACHINES[:2])
    return tmp_path / "evidence"


def lines(folder: Path) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in (folder / "custody.jsonl").read_bytes().splitlines()]


def texts(folder: Path) -> list[bytes]:
    return (folder / "custody.jsonl").read_bytes().splitlines()


def seal(folder: Path, teller: Teller | None = None, check_mode: bool = False, **given: t.Any) -> Result:
    result = ask(TASK, {"path": str(folder), **given}, teller=teller, check_mode=check_mode, clock=Clock())
    assert sorted(result) == KEYS
    return result


def both(authority: TimeAuthority, signer: Signer) -> dict[str, t.Any]:
    return {
        "tsa_url": authority.url(),
        "tsa_ca_path": authority.ca_path,
        "signing_key": signer.key,
        "identity": signer.identity,
    }


def openssl_accepts(folder: Path, name: str, line: bytes, ca_path: str) -> bool:
    done = subprocess.run(
        [
            "openssl",
            "ts",
            "-verify",
            "-in",
            str(folder / name),
            "-digest",
            hashlib.sha256(line).hexdigest(),
            "-CAfile",
            ca_path,
        ],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_signature_and_stamp(folder: Path, authority: TimeAuthority, signer: Signer) -> None:
    before = texts(folder)
    result = seal(folder, **both(authority, signer))
    assert (result["changed"], result["failed"], result["error"]) == (True, False, None), result["msg"]
    number = len(before)
    signature, stamp = result["seals"]
    assert (signature["kind"], signature["seq"], signature["path"]) == ("signature", number, f"seals/{number}.sig")
    assert (stamp["kind"], stamp["seq"], stamp["path"]) == ("time_stamp", number, f"seals/{number}.tsr")
    assert signature["head"] == stamp["head"] == hashlib.sha256(before[-1]).hexdigest()
    after = texts(folder)
    assert after[:number] == before and len(after) == number + 2
    told = [json.loads(line) for line in after[number:]]
    assert [each["event"] for each in told] == ["seal_stored", "seal_stored"]
    for each, made in zip(told, result["seals"], strict=True):
        content = (folder / made["path"]).read_bytes()
        assert each["sha256"] == made["sha256"] == hashlib.sha256(content).hexdigest()
    # The stamp is of the line that records the signature, and so of the signature.
    assert [each["covers"] for each in told] == [number, number + 1]
    assert openssl_accepts(folder, stamp["path"], after[number], authority.ca_path)
    assert not openssl_accepts(folder, stamp["path"], before[-1], authority.ca_path)
    assert result["head"] == hashlib.sha256(after[-1]).hexdigest() and result["seq"] == number + 2
    assert f"signed by {signer.identity}, stamped at {stamp['time']} by CN=Test time stamps good" in result["msg"]
    verified = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-n", "secops.defender", "-s", str(folder / signature["path"]), "-f",
         signer.allowed_signers, "-I", signer.identity],
        input=before[-1], capture_output=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr


def test_sealing_again_at_once_is_ok(folder: Path, authority: TimeAuthority, signer: Signer) -> None:
    seal(folder, **both(authority, signer))
    content = texts(folder)
    again = seal(folder, **both(authority, signer))
    assert (again["changed"], again["failed"], again["seals"]) == (False, False, [])
    assert "everything is sealed already" in again["msg"] and texts(folder) == content


def test_what_only_tells_of_reading_does_not_unseal(folder: Path, signer: Signer) -> None:
    seal(folder, signing_key=signer.key)
    with Custody(folder, Clock()) as custody:
        custody.append("evidence_read", module="secops.defender.defender_package_info", packages=2)
    assert not seal(folder, signing_key=signer.key)["changed"]
    with Custody(folder, Clock()) as custody:
        custody.append("device_failed", machine_id="0" * 40, code="Forbidden")
    later = seal(folder, signing_key=signer.key)
    assert later["changed"] and later["seals"][0]["seq"] == len(texts(folder)) - 1


def test_another_key_signs_as_well(folder: Path, signer: Signer, tmp_path: Path) -> None:
    seal(folder, signing_key=signer.key)
    counsel = Signer.make(tmp_path / "counsel", "counsel@contoso.com")
    result = seal(folder, signing_key=counsel.key, identity=counsel.identity)
    assert result["changed"] and result["seals"][0]["signer"] == counsel.identity
    assert len(list((folder / "seals").iterdir())) == 2


def test_a_stamp_alone_is_of_the_head(folder: Path, authority: TimeAuthority) -> None:
    before = texts(folder)
    result = seal(folder, tsa_url=authority.url())
    (stamp,) = result["seals"]
    assert stamp["seq"] == len(before) and openssl_accepts(folder, stamp["path"], before[-1], authority.ca_path)


def test_a_signature_over_what_is_stamped_already_is_stamped_as_well(
    folder: Path, authority: TimeAuthority, signer: Signer
) -> None:
    """Otherwise nobody would know when it was made."""
    seal(folder, tsa_url=authority.url())
    result = seal(folder, **both(authority, signer))
    assert [each["kind"] for each in result["seals"]] == ["signature", "time_stamp"]
    assert lines(folder)[-1]["covers"] == lines(folder)[-2]["seq"]
    assert not seal(folder, **both(authority, signer))["changed"]


def test_another_authority_renews_a_seal(folder: Path, authority: TimeAuthority) -> None:
    seal(folder, tsa_url=authority.url("stranger"))
    first = lines(folder)[-1]["seq"]
    result = seal(folder, tsa_url=authority.url(), tsa_ca_path=authority.ca_path)
    assert result["changed"] and lines(folder)[-1]["covers"] == first
    assert not seal(folder, tsa_url=authority.url())["changed"]
    # By the same one where somebody says so.
    assert seal(folder, tsa_url=authority.url(), note={"purpose": "renewed"})["changed"]


def test_certificates_in_any_order(folder: Path, authority: TimeAuthority) -> None:
    """OpenSSL's authorities write the chain as it goes, and the library takes a set in DER's order alone."""
    given: dict[str, t.Any] = {"tsa_url": authority.url("chained"), "tsa_ca_path": authority.ca_path}
    line = texts(folder)[-1]
    result = seal(folder, **given)
    assert not result["failed"], result["msg"]
    (stamp,) = result["seals"]
    assert stamp["signer"] == "CN=Test time stamps chained"
    assert openssl_accepts(folder, stamp["path"], line, authority.ca_path)
    assert not seal(folder, **given)["changed"]


def test_a_note_is_logged_before_it_is_sealed(folder: Path, signer: Signer) -> None:
    note = {"from": "A. Analyst", "to": "C. Counsel", "purpose": "Case 4711 ü"}
    result = seal(folder, signing_key=signer.key, note=note)
    noted = lines(folder)[-2]
    assert (noted["event"], noted["note"], noted["seq"]) == ("noted", note, result["seals"][0]["seq"])
    assert "noted; sealed up to line" in result["msg"]
    again = seal(folder, signing_key=signer.key, note=note)
    assert again["changed"] and [line["event"] for line in lines(folder)].count("noted") == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs one of tsa_url, signing_key"),
        ({"tsa_ca_path": "/ca.pem", "signing_key": "/key"}, "tsa_ca_path is given, but there is no tsa_url"),
        ({"identity": "me", "tsa_url": "http://tsa"}, "identity is given, but there is no signing_key"),
        ({"identity": "a b", "signing_key": "/key"}, "identity is 'a b'"),
        ({"tsa_url": "ftp://tsa"}, "tsa_url is not an address"),
        ({"tsa_url": "http://me:hush@tsa/"}, "tsa_url holds a user name or a password"),
        ({"signing_key": "/key", "note": {"form": "me"}}, "note has form. Did you mean from?"),
        ({"signing_key": "/key", "note": {"from": 7}}, "from of note is 7, which is no text"),
        ({"signing_key": "/key", "note": {"from": " "}}, "note says nothing"),
    ],
)
def test_what_is_refused(folder: Path, given: dict[str, t.Any], said: str) -> None:
    before = texts(folder)
    result = seal(folder, **given)
    assert result["failed"] and said in result["msg"] and result["error"]["code"] == "InvalidOptions"
    assert "hush" not in json.dumps(result) and texts(folder) == before


def test_check_mode_writes_nothing_and_says_what_it_would(
    folder: Path, authority: TimeAuthority, signer: Signer
) -> None:
    before, asked = texts(folder), authority.stamped
    result = seal(folder, check_mode=True, **both(authority, signer))
    assert result["changed"] and not result["failed"]
    assert f"the log would be signed and stamped, line {len(before)}" in result["msg"]
    assert texts(folder) == before and not (folder / "seals").exists() and authority.stamped == asked
    seal(folder, **both(authority, signer))
    after = texts(folder)
    assert not seal(folder, check_mode=True, **both(authority, signer))["changed"]
    noted = seal(folder, check_mode=True, note={"to": "counsel"}, **both(authority, signer))
    assert noted["changed"] and "the note would be logged" in noted["msg"] and texts(folder) == after


@pytest.mark.parametrize(
    ("answer", "said", "code"),
    [
        ("down", "answered with the HTTP status 503", "TsaRefused"),
        ("redirect", "answered with the HTTP status 302", "TsaRefused"),
        ("garbage", "it is no answer of a time-stamping authority", "StampInvalid"),
        ("large", "is longer than 1 MiB", "ReplyLost"),
        ("refused", "has refused it: Message digest algorithm is not supported", "StampInvalid"),
        ("other_hash", "it is for another hash", "StampInvalid"),
        ("other_nonce", "it answers another request (the nonce differs)", "StampInvalid"),
        ("stranger", "tsa_ca_path does not hold the authority that it is by", "StampInvalid"),
        ("expired", "the authority's certificate was not valid any more at that time", "StampInvalid"),
        ("no_usage", "the certificate that it is signed with is not one for time stamps alone", "StampInvalid"),
        ("more_usages", "the certificate that it is signed with is not one for time stamps alone", "StampInvalid"),
        ("wrong_key_usage", "the certificate that it is signed with is not one for time stamps alone", "StampInvalid"),
    ],
)
def test_an_authority_in_trouble(
    folder: Path, authority: TimeAuthority, signer: Signer, answer: str, said: str, code: str
) -> None:
    given = {**both(authority, signer), "tsa_url": authority.url(answer)}
    result = seal(folder, **given)
    assert result["failed"] and said in result["msg"] and result["error"]["code"] == code, result["msg"]
    # What could be made stays, and the next run makes the rest.
    assert result["changed"] and [each["kind"] for each in result["seals"]] == ["signature"]
    assert [path.suffix for path in (folder / "seals").iterdir()] == [".sig"]
    later = seal(folder, **both(authority, signer))
    assert [each["kind"] for each in later["seals"]] == ["time_stamp"] and not later["failed"]
    assert lines(folder)[-1]["covers"] == lines(folder)[-2]["seq"]
    assert not seal(folder, **both(authority, signer))["changed"]


def test_an_authority_that_drips(folder: Path, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_time_stamps, "_PATIENCE", 1.5)
    result = seal(folder, tsa_url=authority.url("slow"))
    assert result["failed"] and "did not arrive within 1.5 seconds" in result["msg"]


def test_nobody_at_the_address(folder: Path) -> None:
    result = seal(folder, tsa_url="http://127.0.0.1:9/")
    assert result["failed"] and not result["changed"]
    assert "No time stamp was got: 127.0.0.1:9 cannot be reached: " in result["msg"]
    assert "tsa_url" in result["error"]["advice"] and "begun" not in result["error"]["advice"]


def test_a_log_without_a_line_is_not_called_sealed(folder: Path, authority: TimeAuthority) -> None:
    (folder / "custody.jsonl").write_bytes(b"")
    for check_mode in (False, True):
        result = seal(folder, check_mode=check_mode, tsa_url=authority.url())
        assert result["failed"] and result["error"]["code"] == "EvidenceMissing" and not result["changed"]
        assert "has no line yet" in result["msg"]
    assert not (folder / "custody.jsonl").read_bytes()


def test_a_key_in_the_address_is_not_logged(folder: Path, authority: TimeAuthority) -> None:
    assert seal(folder, tsa_url=authority.url() + "?key=hush")["error"]["code"] == "TsaRefused"
    assert b"hush" not in (folder / "custody.jsonl").read_bytes()


def test_without_the_library(folder: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    before = texts(folder)
    result = seal(folder, tsa_url="http://tsa.contoso.com", signing_key=signer.key)
    assert result["error"]["code"] == "MissingLibrary" and "rfc3161-client" in result["msg"] and texts(folder) == before
    assert seal(folder, signing_key=signer.key)["changed"]


def test_a_library_that_takes_any_certificate_for_the_signers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.0.5")
    result = seal(folder, tsa_url="http://tsa.contoso.com")
    assert result["error"]["code"] == "MissingLibrary", result["msg"]
    assert "rfc3161-client 1.0.6 or later, but 1.0.5 is installed" in result["msg"]


def test_without_ssh_keygen(folder: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = seal(folder, signing_key=signer.key)
    assert result["error"]["code"] == "MissingProgram" and "There is no ssh-keygen on the PATH" in result["msg"]


def test_a_key_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    result = seal(folder, signing_key=str(tmp_path / "none"))
    assert result["error"]["code"] == "SigningFailed" and str(tmp_path / "none") in result["msg"]
    locked = Signer.make(tmp_path, "locked@contoso.com", passphrase="hush")
    result = seal(folder, signing_key=locked.key)
    assert result["error"]["code"] == "SigningFailed" and "incorrect passphrase" in result["msg"]
    assert "ssh-add" in result["msg"] and not result["changed"] and not (folder / "seals").exists()


def test_a_key_that_cannot_be_used_costs_no_time(
    folder: Path, authority: TimeAuthority, signer: Signer, tmp_path: Path
) -> None:
    given = both(authority, signer)
    result = seal(folder, **{**given, "signing_key": str(tmp_path / "none")})
    assert result["failed"] and result["error"]["code"] == "SigningFailed"
    assert [each["kind"] for each in result["seals"]] == ["time_stamp"] and "but then: The signing key" in result["msg"]
    assert lines(folder)[-1]["covers"] == lines(folder)[-1]["seq"] - 1
    # The signature that comes later is stamped as well.
    later = seal(folder, **given)
    assert [each["kind"] for each in later["seals"]] == ["signature", "time_stamp"] and not later["failed"]


def test_a_key_in_the_agent(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase is never asked for: the agent holds the key, as it does one on hardware."""
    locked = Signer.make(tmp_path, "locked@contoso.com", passphrase="hush")
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho hush\n", encoding="ascii")
    askpass.chmod(0o700)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        environ = {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        for _try in range(100):
            if (tmp_path / "agent").exists():
                break
            time.sleep(0.05)
        subprocess.run(["ssh-add", locked.key], env=environ, check=True, capture_output=True, timeout=30)
        assert seal(folder, signing_key=locked.key)["seals"][0]["path"].endswith(".sig")
    finally:
        agent.terminate()
        agent.wait()


def test_a_key_that_waits_for_a_touch_outlives_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the process that signs nor ssh-keygen is there when whoever began them has gone."""
    program = tmp_path / "ssh-keygen"
    program.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/keygen.new && mv {tmp_path}/keygen.new {tmp_path}/keygen\nexec sleep 60\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    master = os.fork()
    if master == 0:
        if os.fork() == 0:
            with suppress(BaseException):
                signatures.fingerprint("key")
            (tmp_path / "ended").touch()
            os._exit(0)
        while True:
            time.sleep(60)
    for _try in range(600):
        if (tmp_path / "keygen").exists():
            break
        time.sleep(0.05)
    keygen = int((tmp_path / "keygen").read_text())
    os.kill(master, signal.SIGKILL)
    os.waitpid(master, 0)
    for _try in range(200):
        if (tmp_path / "ended").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "ended").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(keygen, 0)


@pytest.mark.parametrize("place", ["none", "evidence/pc01.contoso.com"])
def test_no_evidence_folder(folder: Path, signer: Signer, place: str) -> None:
    result = seal(folder.parent / place, signing_key=signer.key)
    assert result["error"]["code"] == "EvidenceMissing" and not (folder.parent / "none").exists()


def test_a_crash_between_log_and_name(folder: Path, signer: Signer) -> None:
    """The seal is on disk and in the log, but not yet under its name: the next one to open the folder completes it."""
    (made,) = seal(folder, signing_key=signer.key)["seals"]
    final = folder / made["path"]
    final.rename(f"{final}.part")
    assert not seal(folder, signing_key=signer.key, check_mode=True)["failed"] and not final.exists()
    assert not seal(folder, signing_key=signer.key)["changed"]
    assert final.exists() and not Path(f"{final}.part").exists()


def test_a_crash_before_the_log_leaves_nothing_but_a_draft(folder: Path, signer: Signer) -> None:
    (folder / "seals").mkdir(mode=0o700)
    (folder / "seals" / "9.sig.part").write_bytes(b"-----BEGIN")
    findings = ask(VERIFY, {"path": str(folder), "allowed_signers": signer.allowed_signers})["findings"]
    assert [(each["kind"], each["path"]) for each in findings] == [("unfinished", "seals/9.sig.part")]
    assert seal(folder, signing_key=signer.key)["changed"]
    assert [path.suffix for path in (folder / "seals").iterdir()] == [".sig"]
    (folder / "seals" / "9.sig.part").write_bytes(b"-----BEGIN")
    assert not seal(folder, signing_key=signer.key)["changed"]
    assert [path.suffix for path in (folder / "seals").iterdir()] == [".sig"]


def test_where_folders_have_no_locks_a_draft_may_be_somebody_s(
    folder: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "seals").mkdir(mode=0o700)
    (folder / "seals" / "9.sig.part").write_bytes(b"-----BEGIN")
    monkeypatch.setattr(_sealing, "lock", lambda file, operation, warn: False)
    assert seal(folder, signing_key=signer.key)["changed"] and (folder / "seals" / "9.sig.part").exists()


def test_a_note_that_was_not_sealed_is_not_written_again(
    folder: Path, authority: TimeAuthority, signer: Signer
) -> None:
    """As a kill, or an authority in trouble, leaves it; what was sealed since is another hand-over."""
    note = {"from": "Avery Analyst", "to": "Casey Counsel"}
    down = {**both(authority, signer), "tsa_url": authority.url("down")}
    assert seal(folder, note=note, **down)["failed"]
    would = seal(folder, note=note, check_mode=True, **both(authority, signer))["msg"]
    assert "the log would be stamped" in would and "the note" not in would
    assert not seal(folder, note=note, **both(authority, signer))["failed"]
    assert [line["event"] for line in lines(folder)].count("noted") == 1
    seal(folder, note={**note, "to": "Robin"}, **both(authority, signer))
    seal(folder, note={**note, "to": "Robin"}, **both(authority, signer))
    assert [line["event"] for line in lines(folder)].count("noted") == 3


def test_of_runs_that_end_in_the_same_moment_one_seals(folder: Path, authority: TimeAuthority) -> None:
    barrier = threading.Barrier(4)

    def one(_number: int) -> Result:
        barrier.wait(30)
        return seal(folder, tsa_url=authority.url())

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, range(4)))
    assert not [result["msg"] for result in results if result["failed"]]
    assert sorted(len(result["seals"]) for result in results) == [0, 0, 0, 1]
    assert [line["event"] for line in lines(folder)].count("seal_stored") == 1


def spoilt(content: bytes) -> bytes:
    """One bit in the middle, of what is in the seal and not of its frame."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("what", ["missing", "altered", "link", "later", "rewritten"])
@pytest.mark.parametrize("kind", ["sig", "tsr"])
def test_seals_are_checked_when_a_folder_is_opened(
    folder: Path, authority: TimeAuthority, signer: Signer, what: str, kind: str
) -> None:
    number = seal(folder, **both(authority, signer))["seals"][0]["seq"]
    path = folder / "seals" / f"{number}.{kind}"
    if what == "missing":
        path.unlink()
    elif what == "altered":
        path.write_bytes(spoilt(path.read_bytes()))
    elif what == "link":
        path.rename(folder.parent / "elsewhere")
        path.symlink_to(folder.parent / "elsewhere")
    elif what == "later":
        path.with_name(f"99.{kind}").write_bytes(path.read_bytes())
    else:
        rewrite(folder, 3)
    before = (folder / "custody.jsonl").read_bytes()
    for attempt in (
        lambda: Folder(str(folder), Clock()).close(),
        lambda: Folder(str(folder), Clock(), read_only=True).close(),
    ):
        with pytest.raises(EvidenceError) as failure:
            attempt()
        assert failure.value.code == "EvidenceAltered" and str(folder if what != "link" else path) in str(failure.value)
    assert seal(folder, **both(authority, signer))["error"]["code"] == "EvidenceAltered"
    assert (folder / "custody.jsonl").read_bytes() == before


def rewrite(folder: Path, number: int) -> None:
    """Change one line, and make all hashes behind it right again, as whoever holds the disk can."""
    known: dict[str, str] = {}
    previous, rewritten = "0" * 64, []
    for place, line in enumerate(texts(folder), 1):
        entry = json.loads(line)
        if place == number:
            entry["time"] = entry["time"][:-2] + ("0Z" if entry["time"][-2] != "0" else "1Z")
        entry["previous_sha256"] = previous
        entry = {key: known.get(value, value) if isinstance(value, str) else value for key, value in entry.items()}
        made = with_digest(entry).encode()
        known[sha256_of_line(line)] = previous = sha256_of_line(made)
        rewritten.append(made)
    (folder / "custody.jsonl").write_bytes(b"\n".join(rewritten) + b"\n")
