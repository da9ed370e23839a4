# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifying a folder with seals: whose count, when they were made, and what nobody can change behind them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import sha256_of_line, with_digest
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import stamps as _stamps
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.judging import Trusted
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.signatures import Signers
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import verify
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK as FETCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK as SEAL
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence import test_verify as _folders
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Teller, Tenant, ask
from simulator import Device, Simulator
from simulator.sealing import Signer, TimeAuthority

BRIEF = 4.0


class World:
    """An authority, a signer, and folders sealed by them."""

    def __init__(self, home: Path, authority: TimeAuthority) -> None:
        self.home = home
        self.authority = authority
        self.signer = Signer.make(home / "signer")
        self.began = time.monotonic()

    def seal(self, folder: Path, answer: str | None = "good", signs: bool = True, **given: t.Any) -> Result:
        stamp = {"tsa_url": self.authority.url(answer)} if answer else {}
        signing = {"signing_key": self.signer.key, "identity": self.signer.identity} if signs else {}
        result = ask(SEAL, {"path": str(folder), **stamp, **signing, **given}, clock=Clock())
        assert not result["failed"] and result["changed"], result["msg"]
        return result

    def trust(self) -> dict[str, t.Any]:
        return {"tsa_ca_path": self.authority.ca_path, "allowed_signers": self.signer.allowed_signers}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[World]:
    home = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch, TimeAuthority(home / "authority", brief=BRIEF) as authority:
        # Stamps have the true time, so the log must have it as well.
        patch.setattr(_folders, "VirtualClock", Clock)
        _folders.collect(home / "unsealed", *_folders.MACHINES[:2])
        made = World(home, authority)
        shutil.copytree(home / "unsealed", home / "brief")
        made.seal(home / "brief", "brief")
        shutil.copytree(home / "unsealed", home / "sealed")
        made.seal(home / "sealed")
        yield made


@pytest.fixture
def unsealed(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.home / "unsealed", tmp_path / "unsealed"))


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.home / "sealed", tmp_path / "evidence"))


def check(folder: Path, clock: Clock | None = None, **given: t.Any) -> Result:
    result = ask(VERIFY, {"path": str(folder), **given}, clock=clock or Clock())
    for seal in result["seals"]:
        assert sorted(seal) == ["head", "kind", "seq", "signer", "time", "valid", "why"]
        assert seal["valid"] or seal["why"]
    return result


def texts(folder: Path) -> list[bytes]:
    return (folder / "custody.jsonl").read_bytes().splitlines()


def kinds(result: Result) -> set[str]:
    return {finding["kind"] for finding in result["findings"]}


def add(folder: Path, event: str, **facts: t.Any) -> None:
    with Custody(folder, Clock()) as custody:
        custody.append(event, **facts)


def test_both_seals_hold(world: World, folder: Path) -> None:
    result = check(folder, **world.trust(), require_seal=True)
    assert result["verified"] and not result["failed"], result["msg"]
    signature, stamp = result["seals"]
    number = len(texts(folder)) - 2
    assert (signature["kind"], signature["seq"], signature["valid"], signature["why"]) == (
        "signature",
        number,
        True,
        None,
    )
    assert (stamp["kind"], stamp["seq"], stamp["valid"], stamp["why"]) == ("time_stamp", number, True, None)
    assert signature["head"] == stamp["head"] == sha256_of_line(texts(folder)[number - 1])
    assert (signature["signer"], stamp["signer"]) == (world.signer.identity, "CN=Test time stamps good")
    # A signature was there when the stamp over it was made.
    assert signature["time"] == stamp["time"]
    assert f"Sealed up to line {number + 1} of {number + 2}, at {stamp['time']} by CN=Test" in result["msg"]
    assert (
        "nothing after it counts" in result["msg"] and "Revocation of certificates was not asked for." in result["msg"]
    )


def test_without_anybody_trusted_nothing_is_valid_and_nothing_wrong(folder: Path) -> None:
    result = check(folder)
    assert result["verified"] and [seal["valid"] for seal in result["seals"]] == [False, False]
    assert "allowed_signers was not given" in result["seals"][0]["why"]
    assert "tsa_ca_path was not given" in result["seals"][1]["why"]
    assert "No seal vouches for the log." in result["msg"]


def test_what_makes_several_seals_not_valid_is_said_once(world: World, folder: Path) -> None:
    add(folder, "device_failed", machine_id="0" * 40, code="Forbidden", comment="x")
    world.seal(folder)
    message = check(folder)["msg"]
    assert message.count("tsa_ca_path was not given") == message.count("allowed_signers was not given") == 1
    assert all(seal.name in message for seal in (folder / "seals").iterdir())


def test_a_folder_without_seals(world: World, unsealed: Path) -> None:
    result = check(unsealed, **world.trust())
    assert (
        result["verified"] and result["seals"] == [] and "seal" not in result["msg"].replace(str(unsealed), "").lower()
    )
    required = check(unsealed, **world.trust(), require_seal=True)
    assert required["failed"] and kinds(required) == {"unsealed"}
    assert "No valid seal vouches for the log from its beginning on." in required["msg"]


def test_what_comes_after_the_newest_seal(world: World, folder: Path) -> None:
    add(folder, "evidence_read", packages=2)
    assert check(folder, **world.trust(), require_seal=True)["verified"]
    add(folder, "device_failed", machine_id="0" * 40, code="Forbidden", comment="x")
    later = check(folder, **world.trust())
    assert later["verified"] and "lines after it are not sealed" in later["msg"]
    required = check(folder, **world.trust(), require_seal=True)
    assert required["failed"] and kinds(required) == {"unsealed"}
    sealed = max(json.loads(line).get("covers", 0) for line in texts(folder))
    assert f"vouches for the log from line {sealed + 1} on." in required["msg"]
    world.seal(folder)
    assert check(folder, **world.trust(), require_seal=True)["verified"]


def test_seals_of_a_folder_without_packages_are_told_of(world: World, tmp_path: Path) -> None:
    add(tmp_path / "none", "run_started", tenant="t")
    world.seal(tmp_path / "none")
    result = check(tmp_path / "none", **world.trust())
    assert not result["verified"] and "Sealed up to line 2 of 3" in result["msg"], result["msg"]


def test_a_signature_alone_has_no_time(world: World, unsealed: Path) -> None:
    world.seal(unsealed, None)
    result = check(unsealed, **world.trust(), require_seal=True)
    (seal,) = result["seals"]
    assert result["verified"] and seal["valid"] and seal["time"] is None and seal["why"] == "signing time unproven"
    # A later stamp proves that it was there by then.
    world.seal(unsealed, signs=False)
    (signature, stamp) = sorted(check(unsealed, **world.trust())["seals"], key=lambda each: each["kind"])
    assert signature["time"] == stamp["time"] and signature["why"] is None


def test_a_certificate_that_has_expired_since(world: World) -> None:
    time.sleep(max(0.0, BRIEF + 1.0 - (time.monotonic() - world.began)))
    result = check(world.home / "brief", **world.trust(), require_seal=True)
    assert result["verified"] and all(seal["valid"] for seal in result["seals"]), result["msg"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("expired", "the authority's certificate was not valid any more at that time"),
        ("no_usage", "the certificate that it is signed with is not one for time stamps alone"),
        ("wrong_key_usage", "the certificate that it is signed with is not one for time stamps alone"),
        ("stranger", "tsa_ca_path does not hold the authority that it is by"),
    ],
)
def test_stamps_that_nobody_vouches_for(world: World, unsealed: Path, answer: str, why: str) -> None:
    """Made without tsa_ca_path, by which they would have been refused."""
    world.seal(unsealed, answer, signs=False)
    result = check(unsealed, **world.trust())
    assert result["failed"] and kinds(result) == {"invalid_seal"}
    assert (result["seals"][0]["valid"], result["seals"][0]["why"]) == (False, why)
    assert why in result["msg"] and "Check that tsa_ca_path" in result["msg"]
    # The packages are as they were; nothing is lost.
    assert result["summary"]["verified"] == 2


def test_certificates_in_between_come_with_the_stamp(world: World, unsealed: Path) -> None:
    world.seal(unsealed, "chained")
    seals = check(unsealed, **world.trust(), require_seal=True)["seals"]
    assert [seal["valid"] for seal in seals] == [True, True] and seals[1]["signer"] == "CN=Test time stamps chained"


def test_an_authority_that_leaves_its_certificate_out(world: World, unsealed: Path, tmp_path: Path) -> None:
    world.seal(unsealed, "bare", signs=False)
    (seen,) = check(unsealed, **world.trust())["seals"]
    assert not seen["valid"] and "certificate that it is signed with, and neither does tsa_ca_path" in seen["why"]
    known = tmp_path / "known.pem"
    known.write_bytes(Path(world.authority.ca_path).read_bytes() + (world.authority.folder / "good.pem").read_bytes())
    (seen,) = check(unsealed, tsa_ca_path=str(known), require_seal=True)["seals"]
    assert seen["valid"], seen["why"]


def test_a_seal_that_holds_but_is_not_the_one_that_was_made(world: World, folder: Path) -> None:
    """A signature made anew may be by a key that was stolen meanwhile; the stamp is over the first one."""
    seal = next((folder / "seals").glob("*.sig"))
    seal.write_bytes(seal.read_bytes() + b"\n")
    result = check(folder, **world.trust())
    assert kinds(result) == {"altered"}
    signature = result["seals"][0]
    assert not signature["valid"] and "the log tells of another file" in signature["why"]
    assert result["seals"][1]["valid"]


def test_the_wrong_authority(world: World, folder: Path) -> None:
    result = check(folder, tsa_ca_path=world.authority.stranger_ca_path)
    assert kinds(result) == {"invalid_seal"} and "tsa_ca_path does not hold the authority" in result["msg"]


def test_a_signer_whom_nobody_knows(world: World, folder: Path, tmp_path: Path) -> None:
    other = Signer.make(tmp_path / "other", "other@contoso.com")
    result = check(folder, allowed_signers=other.allowed_signers)
    assert kinds(result) == {"invalid_seal"} and "allowed_signers knows no such key" in result["seals"][0]["why"]


def test_a_signer_by_another_name(world: World, unsealed: Path) -> None:
    world.seal(unsealed, None, identity="boss@contoso.com")
    why = check(unsealed, **world.trust())["seals"][0]["why"]
    assert "does not let boss@contoso.com sign with this key" in why and "it is that of analyst@contoso.com" in why


def test_a_revoked_key(world: World, folder: Path, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    shutil.copy(f"{world.signer.key}.pub", revoked)
    result = check(folder, **world.trust(), revoked_keys=str(revoked))
    assert kinds(result) == {"invalid_seal"}
    assert result["seals"][0]["why"] == "the key of analyst@contoso.com is in revoked_keys"
    krl = tmp_path / "krl"
    subprocess.run(
        ["ssh-keygen", "-q", "-k", "-f", str(krl), f"{world.signer.key}.pub"], check=True, capture_output=True
    )
    assert "is in revoked_keys" in check(folder, **world.trust(), revoked_keys=str(krl))["msg"]


def test_a_key_that_was_allowed_only_then(world: World, folder: Path, unsealed: Path, tmp_path: Path) -> None:
    """A signature is judged at the time of the stamp over it, and without one at the present."""
    allowed = tmp_path / "allowed"
    public = Path(f"{world.signer.key}.pub").read_text(encoding="ascii")
    year = time.gmtime().tm_year
    allowed.write_text(f'{world.signer.identity} valid-before="{year + 1}0101" {public}', encoding="ascii")

    class Later(Clock):
        def wall(self) -> float:
            return time.time() + 2 * 366 * 86400

    trust = {**world.trust(), "allowed_signers": str(allowed)}
    assert check(folder, Later(), **trust)["seals"][0]["valid"]
    world.seal(unsealed.rename(tmp_path / "unstamped"), None)
    late = check(tmp_path / "unstamped", Later(), **trust)["seals"][0]
    assert not late["valid"] and "key has expired" in late["why"]


@pytest.mark.parametrize("kind", ["sig", "tsr"])
def test_a_seal_that_is_missing_although_the_log_tells_of_it(world: World, folder: Path, kind: str) -> None:
    next((folder / "seals").glob(f"*.{kind}")).unlink()
    result = check(folder, **world.trust())
    assert kinds(result) == {"missing"} and "The seal is missing." in result["msg"]


def test_a_seal_that_the_log_does_not_know(world: World, folder: Path) -> None:
    stamp = next((folder / "seals").glob("*.tsr"))
    shutil.copy(stamp, folder / "seals" / "2.tsr")
    assert kinds(check(folder, **world.trust())) == {"not_recorded"}


def test_certificates_may_be_kept_beside_seals(world: World, folder: Path) -> None:
    for name in ("root.pem", "12.crl"):
        (folder / "seals" / name).write_text("x", encoding="ascii")
    assert check(folder, **world.trust())["verified"]
    (folder / "seals" / "notes.txt").write_text("x", encoding="ascii")
    assert kinds(check(folder, **world.trust())) == {"not_recorded"}


def test_a_log_that_ends_before_a_seal(world: World, folder: Path) -> None:
    """Cut off, with the packages of the lines that are gone."""
    lines = texts(folder)
    (folder / "custody.jsonl").write_bytes(b"\n".join(lines[:4]) + b"\n")
    result = check(folder, **world.trust())
    assert "broken_chain" in kinds(result) and "the log ends at line 4: lines were cut off its end" in result["msg"]


def test_a_seal_half_made(world: World, folder: Path) -> None:
    stamp = next((folder / "seals").glob("*.tsr"))
    stamp.rename(f"{stamp}.part")
    result = check(folder, **world.trust())
    assert kinds(result) == {"unfinished"} and all(seal["valid"] for seal in result["seals"])


def test_the_log_s_times_are_held_against_a_stamp_s(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(Clock):
        def wall(self) -> float:
            return time.time() - 86400 * 30

    class Ahead(Clock):
        def wall(self) -> float:
            return time.time() + 3600

    for clock, word in ((Earlier, "after"), (Ahead, "before")):
        home = tmp_path / word
        monkeypatch.setattr(_folders, "VirtualClock", clock)
        _folders.collect(home, _folders.MACHINES[0])
        sealed = ask(SEAL, {"path": str(home), "tsa_url": world.authority.url()}, clock=clock())
        assert not sealed["failed"], sealed["msg"]
        result = check(home, **world.trust())
        assert kinds(result) == {"invalid_seal"} and f" {word} line " in result["seals"][0]["why"], result["msg"]
        assert "the log's times were made up" in result["msg"]


def test_a_clock_that_the_log_says_is_wrong_is_allowed_for(world: World, tmp_path: Path) -> None:
    class Ahead(Clock):
        def wall(self) -> float:
            return time.time() + 3600

    home = tmp_path / "evidence"
    home.mkdir(mode=0o700)
    with Custody(home, Ahead()) as custody:
        custody.begin(skew=3600.0, devices=0)
        custody.append("run_ended", stored=0, failed=0)
    assert not ask(SEAL, {"path": str(home), "tsa_url": world.authority.url()}, clock=Ahead())["failed"]
    assert check(home, **world.trust())["seals"][0]["valid"]


def test_without_the_library(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    result = check(folder, **world.trust())
    assert result["error"]["code"] == "MissingLibrary" and "rfc3161-client" in result["msg"]
    plain = check(folder, allowed_signers=world.signer.allowed_signers)
    assert plain["verified"] and plain["seals"][0]["valid"] and "it was not looked at" in plain["seals"][1]["why"]


def test_without_ssh_keygen(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert check(folder, **world.trust())["error"]["code"] == "MissingProgram"
    plain = check(folder, tsa_ca_path=world.authority.ca_path)
    assert plain["verified"] and plain["seals"][1]["valid"] and "it was not looked at" in plain["seals"][0]["why"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"revoked_keys": "/dev/null"}, "revoked_keys is given, but there is no allowed_signers"),
        ({"allowed_signers": "/none"}, "allowed_signers /none cannot be read"),
        ({"require_seal": True}, "require_seal is true, but nothing says whose seals count"),
        ({"tsa_ca_path": "/none"}, "tsa_ca_path /none cannot be read"),
        ({"tsa_ca_path": "/dev/null"}, "holds no root certificate"),
    ],
)
def test_what_is_refused(folder: Path, given: dict[str, t.Any], said: str) -> None:
    result = check(folder, **given)
    assert result["failed"] and result["error"]["code"] == "InvalidOptions" and said in result["msg"]


# ---- who holds the disk ----


def rewritten(lines: list[bytes]) -> list[bytes]:
    """Lines whose hashes were all made right again, as whoever holds the disk can."""
    known: dict[str, str] = {}
    previous, made = "0" * 64, []
    for line in lines:
        entry = json.loads(line)
        entry["previous_sha256"] = previous
        entry = {key: known.get(value, value) if isinstance(value, str) else value for key, value in entry.items()}
        new = with_digest(entry).encode()
        known[sha256_of_line(line)] = previous = sha256_of_line(new)
        made.append(new)
    return made


def vouched(world: World) -> Trusted:
    return Trusted(_stamps.trust(world.authority.ca_path), Signers(world.signer.allowed_signers), time.time())


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_nothing_before_a_seal_is_changed_unfound(world: World, data: st.DataObject) -> None:
    """One byte of a text of a sealed line, and every hash of the chain made right again."""
    lines = texts(world.home / "sealed")
    number = data.draw(st.integers(0, len(lines) - 3), label="line")
    entry = json.loads(lines[number])
    name = data.draw(st.sampled_from([key for key, value in entry.items() if isinstance(value, str) and key not in
                                      ("digest", "previous_sha256") and value]), label="key")  # fmt: skip
    place = data.draw(st.integers(0, len(entry[name]) - 1), label="place")
    other = data.draw(st.characters(codec="ascii", exclude_characters=entry[name][place]), label="character")
    entry[name] = entry[name][:place] + other + entry[name][place + 1 :]
    forged = rewritten([*lines[:number], json.dumps(entry).encode(), *lines[number + 1 :]])
    with_forged(world, forged)


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 9), how=st.sampled_from(["removed", "repeated", "moved"]))
def test_no_line_before_a_seal_is_removed_or_added_unfound(world: World, number: int, how: str) -> None:
    lines = texts(world.home / "sealed")
    if how == "removed":
        lines = [*lines[:number], *lines[number + 1 :]]
    elif how == "repeated":
        lines = [*lines[: number + 1], *lines[number:]]
    else:
        lines = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
    renumbered = [json.dumps({**json.loads(line), "seq": place}).encode() for place, line in enumerate(lines, 1)]
    with_forged(world, rewritten(renumbered))


def with_forged(world: World, lines: list[bytes]) -> None:
    home = world.home / "forged"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(world.home / "sealed", home)
    (home / "custody.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    verdict = verify(home, trusted=vouched(world))
    assert not [each for each in verdict.findings if each.message.startswith("Line ")], (
        "the chain should have been made right"
    )
    assert not verdict.verified and not any(seal.valid for seal in verdict.seals)
    assert any("seals/" in each.path for each in verdict.findings)


def test_seals_of_the_forger_s_own_do_not_help(world: World, unsealed: Path, tmp_path: Path) -> None:
    """The chain and the seals are whole, but by nobody who is trusted."""
    forger = Signer.make(tmp_path / "forger", world.signer.identity)
    world.seal(unsealed, "stranger", signing_key=forger.key)
    assert check(unsealed)["verified"]
    result = check(unsealed, **world.trust())
    assert result["failed"] and kinds(result) == {"invalid_seal"} and len(result["findings"]) == 2


def test_a_seal_kept_elsewhere_tells_of_a_log_that_was_made_anew(world: World, folder: Path, unsealed: Path) -> None:
    """All seals are gone, and the log tells of none: one that was kept outside is put back, and fits nothing."""
    kept = next((folder / "seals").glob("*.tsr"))
    lines = [json.loads(line) for line in texts(unsealed)]
    lines[3]["comment"] = "another"
    (unsealed / "custody.jsonl").write_bytes(
        b"\n".join(rewritten([json.dumps(line).encode() for line in lines])) + b"\n"
    )
    (unsealed / "seals").mkdir()
    shutil.copy(kept, unsealed / "seals" / kept.name)
    result = check(unsealed, **world.trust())
    assert result["failed"] and "is not in the log: the log was rewritten" in result["msg"]


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
def test_a_stamp_with_one_bit_changed_is_none_or_the_same(world: World, place: float, bit: int) -> None:
    """Nothing but NotValid may come of it, and never another time or another hash that is vouched for."""
    content = bytearray(next((world.home / "sealed" / "seals").glob("*.tsr")).read_bytes())
    whole = _stamps.read(bytes(content))
    content[int(place * len(content))] ^= 1 << bit
    try:
        stamp = _stamps.read(bytes(content))
        _stamps.judge(stamp, vouched(world).authorities or pytest.fail("nobody is trusted"))
    except _stamps.NotValid:
        return
    assert (stamp.time, stamp.digest, stamp.nonce) == (whole.time, whole.digest, whole.nonce)


# ---- runs that seal what they have collected ----


class RunClock(Clock):
    """The true time, for one run after the other."""

    def start_again(self) -> None:
        self._stopped.clear()


DEVICES = [Device(f"pc0{number}.contoso.com", package_size=3000 + number) for number in (1, 2)]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Tenant]:
    with Simulator(DEVICES, minute=0.5, hour=18.0, collect_seconds=(0.1, 0.2)) as simulator:
        yield Tenant(simulator, t.cast(t.Any, RunClock()))


def run(tenant: Tenant, task: t.Any, dest: Path, **given: t.Any) -> tuple[Result, Teller]:
    tenant.teller = Teller()
    quotas = {"default": ["100/0.5", "1500/18"], "package_link": ["2/0.5", "120/18"]}
    result = tenant(task, dest=str(dest), quota_dir=str(dest.parent / "quota"), quotas=quotas, **given)
    return result, tenant.teller


def sealing(world: World, answer: str = "good") -> dict[str, t.Any]:
    return {
        "tsa_url": world.authority.url(answer),
        "tsa_ca_path": world.authority.ca_path,
        "signing_key": world.signer.key,
        "identity": world.signer.identity,
    }


def test_a_run_seals_at_its_end(world: World, tenant: Tenant, tmp_path: Path) -> None:
    dest, wish = tmp_path / "evidence", {"machines": ["pc01"], "comment": "Alert 4711", "poll_interval": 0.1}
    result, teller = run(tenant, COLLECT, dest, report=True, **wish, **sealing(world))
    assert not result["failed"] and teller.told("warn") == [], result["msg"]
    (said,) = [line for line in teller.told("say") if "sealed up to line" in line]
    assert f"signed by {world.signer.identity}, stamped at 20" in said and "by CN=Test time stamps good" in said
    assert [json.loads(line)["event"] for line in texts(dest)][-3:] == ["run_ended", "seal_stored", "seal_stored"]
    checked = check(dest, **world.trust(), require_seal=True)
    assert checked["verified"], checked["msg"]


@pytest.mark.parametrize("answer", ["down", "garbage", "expired"])
def test_a_seal_that_fails_is_a_warning_and_the_next_run_seals(
    world: World, tenant: Tenant, tmp_path: Path, answer: str
) -> None:
    dest = tmp_path / "evidence"
    wish = {"machines": ["pc01"], "comment": answer, "poll_interval": 0.1}
    result, teller = run(tenant, COLLECT, dest, **wish, **sealing(world, answer))
    assert not result["failed"] and result["packages"][0]["package"]["path"]
    (warning,) = teller.told("warn")
    assert (
        str(dest) in warning
        and "but not all of it" in warning
        and "The next run seals" in warning.replace("the next", "The next")
    )
    assert check(dest, **world.trust(), require_seal=True)["verified"] is True, "the signature is there"
    again, teller = run(tenant, FETCH, dest, machines=["pc01"], **sealing(world))
    assert not again["failed"] and teller.told("warn") == []
    assert {seal["kind"] for seal in check(dest, **world.trust())["seals"]} == {"signature", "time_stamp"}


def test_a_key_that_is_not_there_loses_no_package(world: World, tenant: Tenant, tmp_path: Path) -> None:
    dest = tmp_path / "evidence"
    result, teller = run(
        tenant, COLLECT, dest, machines=["pc02"], comment="key", poll_interval=0.1, signing_key=str(tmp_path / "none")
    )
    assert not result["failed"] and check(dest)["verified"]
    assert "not sealed: The signing key" in teller.told("warn")[0]


def test_nothing_is_sealed_in_check_mode(world: World, tenant: Tenant, tmp_path: Path) -> None:
    tenant.teller = Teller()
    stamped = world.authority.stamped
    result = tenant(
        COLLECT, check_mode=True, machines=["pc01"], comment="x", dest=str(tmp_path / "evidence"), **sealing(world)
    )
    assert not result["failed"] and world.authority.stamped == stamped and not (tmp_path / "evidence").exists()


def test_sealing_without_a_folder_is_refused(world: World) -> None:
    result = ask(COLLECT, {"machines": ["pc01"], "comment": "x", "access_token": "x", "tsa_url": world.authority.url()})
    assert result["failed"] and "tsa_url is given, but there is no dest" in result["msg"]


def test_a_run_does_not_go_on_in_a_folder_whose_seals_are_wrong(world: World, tenant: Tenant, tmp_path: Path) -> None:
    dest, wish = tmp_path / "evidence", {"machines": ["pc01"], "comment": "once more", "poll_interval": 0.1}
    run(tenant, COLLECT, dest, **wish, **sealing(world))
    next((dest / "seals").glob("*.sig")).unlink()
    before = texts(dest)
    result, _teller = run(tenant, COLLECT, dest, **wish, **sealing(world))
    assert result["failed"] and "cannot be gone on with" in result["msg"] and texts(dest) == before
