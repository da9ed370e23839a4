# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import html
import json
import random
import re
import threading
import time
from urllib.parse import quote, urlencode

import pytest
from ansible.module_utils.common.parameters import remove_values
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

LINK = "https://userrequests-us.securitycenter.windows.com:443/safedownload/p.zip?token=a%2FbC12345%3D%3D&kind=package"


def test_secrets_are_scrubbed_from_any_structure() -> None:
    secrets = Secrets()
    secrets.add("hunter2", None, "", "p@ss/word")
    value = {
        "msg": "signed in with hunter2",
        "list": ["hunter2", {"deep": ("x hunter2 y", 5, None, True)}],
        "quoted": f"https://proxy/?p={quote('p@ss/word', safe='')}",
        "plain": "p@ss/word",
    }
    scrubbed = json.dumps(secrets.scrub(value))
    for word in ("hunter2", "p@ss/word", "p%40ss%2Fword"):
        assert word not in scrubbed
    assert "signed in with" in scrubbed and "true" in scrubbed and "5" in scrubbed


def test_a_secret_within_another_leaves_nothing_of_it() -> None:
    for words in (("hunter2", "hunter2-and-more", "more"), ("and-more", "hunter2-and-more", "hunter2")):
        secrets = Secrets()
        secrets.add(*words, *(f"filler-{number}" for number in range(20)))
        assert secrets.scrub("x hunter2-and-more y") == "x ******** y"


def test_words_too_short_to_be_secrets_stay() -> None:
    secrets = Secrets()
    secrets.add("abc", "the")
    assert secrets.scrub("the abc of it") == "the abc of it"


def test_a_link_is_a_secret_as_a_whole_and_in_each_of_its_parts() -> None:
    secrets = Secrets()
    secrets.add_link(LINK)
    for text in (LINK, LINK.partition("?")[2], "token a/bC12345==", "token a%2FbC12345%3D%3D"):
        scrubbed = secrets.scrub(f"GET {text} failed")
        assert "bC" not in scrubbed and "failed" in scrubbed


@pytest.mark.parametrize(
    "link",
    ["", "no link", "no link?token=abcdefgh", "https://[half/x?token=abcdefgh", "https://h:port?token=abcdefgh#x"],
)
def test_a_link_that_is_none_is_kept_secret_all_the_same(link: str) -> None:
    secrets = Secrets()
    secrets.add_link(link)
    assert not link or link not in secrets.scrub(f"no good: {link}")
    assert "token" not in link or "abcdefgh" not in secrets.scrub("no good: abcdefgh")


@given(
    st.text(min_size=4, max_size=40).filter(lambda text: "*" not in text), st.text(max_size=20), st.text(max_size=20)
)
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    secrets = Secrets()
    secrets.add(secret)
    assert secret not in secrets.scrub([before + secret + after])[0]


@given(st.data())
def test_scrubbing_finds_what_a_look_for_each_secret_would(data: st.DataObject) -> None:
    words = st.text("ab/%", min_size=4, max_size=40)
    known = data.draw(st.lists(words, min_size=1, max_size=20))
    texts = data.draw(st.lists(st.lists(st.sampled_from(known) | st.text("ab-", max_size=6), max_size=5).map("".join)))
    secrets = Secrets()
    secrets.add(*known)
    forms = {form for word in known for form in (word, quote(word, safe=""))}
    value = {"texts": texts, "number": 5}
    # In one order: where secrets overlap, what is left depends on which is replaced first.
    assert secrets.scrub(value) == remove_values(value, sorted(sorted(forms), key=len, reverse=True))


def test_a_text_costs_by_its_length_and_not_by_the_number_of_secrets() -> None:
    secrets = Secrets()
    for number in range(20_000):
        secrets.add_link(f"https://host/safedownload/p.zip?token={random.Random(number).getrandbits(384):096x}%3D%3D")
    result = {"packages": [{"sha256": random.Random(number).randbytes(32).hex()} for number in range(20_000)]}
    began = time.process_time()
    assert secrets.scrub(result) == result
    # Looking for each of them in each text takes ten minutes.
    assert time.process_time() - began < 90


def test_threads_may_add_while_others_scrub() -> None:
    secrets = Secrets()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(100):
                secrets.add(f"secret-{number}-{each}")
                assert f"secret-{number}-{each}" not in secrets.scrub(f"x secret-{number}-{each}")
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_stands_in_a_link_beside_its_secret_stays_readable() -> None:
    secrets = Secrets()
    action = "5382f7ea-1111-4222-8333-944444444444"
    secrets.add_link(f"https://x/p.zip?actionId={action}&api-version=2026&kind=package&token=0123456789abcdef")
    assert secrets.scrub(f"package of {action} in 2026") == f"package of {action} in 2026"
    assert "0123" not in secrets.scrub("token 0123456789abcdef")


# What is echoed is written in some form or other.

_HARD = ("S3cr&t/Wörd+\"<q>'=~%\\", "kM8Q~aaBbccDdeeFfggHhiiJjkkLlmmNnooPpqqRr-_.", "w-o-r-d", "a/b+c=d e")


def _echoes(secret: str) -> dict[str, str]:
    plain = secret.encode()
    echoes = {
        "raw": secret,
        "percent": quote(secret, safe=""),
        "percent, lower case": re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        "form": urlencode({"client_secret": secret}),
        "path": quote(secret),
        "JSON": json.dumps({"echo": secret}),
        "JSON, not ASCII": json.dumps({"echo": secret}, ensure_ascii=False),
        "JSON, slashes escaped": json.dumps(secret).replace("/", "\\/"),
        "JSON of .NET": re.sub("[<>&'+]", lambda match: f"\\u{ord(match[0]):04X}", json.dumps(secret)),
        "HTML": html.escape(secret),
        "HTML by numbers": html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        "every character in percent": "".join(f"%{byte:02x}" for byte in plain),
        "every character in JSON": "".join(f"\\u{ord(each):04X}" for each in secret),
        "every character in HTML": "".join(f"&#{ord(each)};" for each in secret),
        "every character in hexadecimal HTML": "".join(f"&#x{ord(each):x};" for each in secret),
        "JSON in percent": quote(json.dumps(secret)),
        "HTML in JSON": json.dumps(html.escape(secret)),
        "JSON in JSON": json.dumps(json.dumps(secret)),
        "base64 in percent": quote(base64.b64encode(b"x" + plain), safe=""),
        "Basic": "Authorization: Basic " + base64.b64encode(b"app-id:" + plain).decode(),
    }
    for before in range(3):
        for after in range(3):
            text = b"x" * before + plain + b"y" * after
            echoes[f"base64 {before} {after}"] = base64.b64encode(text).decode()
            echoes[f"base64 for URLs {before} {after}"] = base64.urlsafe_b64encode(text).decode().rstrip("=")
    return echoes


@pytest.mark.parametrize("secret", _HARD)
def test_a_secret_is_known_in_every_form_in_which_it_is_echoed(secret: str) -> None:
    secrets = Secrets()
    secrets.add(secret)
    for form, echo in _echoes(secret).items():
        scrubbed = secrets.scrub(f"before [{echo}] after")
        assert echo not in scrubbed and "********" in scrubbed, form
        assert scrubbed.startswith("before [") and scrubbed.endswith("] after"), form
        # Nothing of an encoded one stays, either.
        if form.startswith(("base64", "every")) and "percent" not in form[:9]:
            assert scrubbed == "before [********] after"


def test_links_in_a_text_that_was_not_asked_for_one() -> None:
    secrets = Secrets()
    text = f'Failed: {{"detail": "{LINK}"}}.'
    secrets.add_links_in(text)
    assert secrets.scrub(text) == 'Failed: {"detail": "********"}.'
    assert secrets.scrub("token a/bC12345== again") == "token ******** again"
    secrets.add_links_in("see https://learn.microsoft.com/page and nothing else")
    assert secrets.scrub("see https://learn.microsoft.com/page") == "see https://learn.microsoft.com/page"


@pytest.mark.parametrize("secret", [each for each in _HARD if len(each) >= 16])
def test_a_reply_is_purged_of_long_secrets_in_texts_and_names(secret: str) -> None:
    secrets = Secrets()
    secrets.add(secret, "contoso")
    for form, echo in _echoes(secret).items():
        reply = {"value": [{"id": "pc1.contoso.com", f"x {echo}": 1, "tags": [f"a {echo} b", 5, None]}]}
        purged = json.dumps(secrets.purge(reply, lambda link: False), ensure_ascii=False)
        assert echo not in purged and purged.count("********") >= 2, form
        # A short one may be a word that the work needs, as a part of a name for instance.
        assert "pc1.contoso.com" in purged


def test_a_reply_is_purged_of_links_to_packages_and_of_no_others() -> None:
    secrets = Secrets()
    other = "https://tickets.contoso.com/issue?token=abcdefgh1234567890"
    portal = "https://security.microsoft.com/machines/v2/1?tid=11111111-2222-4333-8444-555555555555"
    reply = {"comment": f"{other} {portal}", "info": f"see {LINK}."}
    purged = secrets.purge(reply, lambda link: "tickets" not in link)
    assert purged == {"comment": reply["comment"], "info": "see ********."}
    assert secrets.purge(reply, lambda link: False)["comment"] == reply["comment"]
