"""The page of an audit: what stands on it is what audit.json holds, and it asks nobody for anything."""

import copy
import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from kerasburst import InputError
from kerasburst.privacy.audit import audit
from kerasburst.reports import audit_tables
from kerasburst.reports.audit import alarms, drawings, headline, judge, tables, write_report
from kerasburst.reports.audit_figures import undetermined
from kerasburst.reports.audit_tables import attacks_table
from kerasburst.reports.view import Item
from tests.privacy.common import RUN_FLEET, Pretend, audit_config
from tests.reports.common import ENCODINGS, Page


def above_interval(value, interval):
    return "–" if value is None else f"{value:.3f}{interval[0]:.3f} to {interval[1]:.3f}"


def percent(value, interval):
    return f"{100 * value:.1f}{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def with_interval(value, interval):
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def test_validity_first_then_what_was_demanded_in_order(page):
    wanted = [
        *("Membership-inference audit: <i>data", "Does it leak?", "Summary", "Encodings compared", "Controls"),
        *("Threat model", "Splits"),
        *("Attacks", "rate: test accuracy", "poisson_burst: test accuracy", "Pictures", "ROC"),
        "AUC against the number of queries",
        *("The limit for K", "AUC against the time step", "Members and non-members", "Accuracy against AUC", "Limits"),
        "Versions",
    ]
    assert len(page.headings) == len(wanted)
    assert all(heading.startswith(start) for heading, start in zip(page.headings, wanted, strict=True)), page.headings
    text = "".join(page.text)
    names = "splits_disjoint, blind_baseline, untrained, permuted_membership, planted_leak, weights_differ"
    said = f"Valid. All 10 controls hold: {names}."
    assert text.count(said) == 2 and text.index(said) < text.index("Summary") and "FAILED" not in text
    assert text.rindex(said) > text.index("Versions")


def test_controls_with_their_figures(page, found):
    rows = page.rows("Controls")
    assert len(found["controls"]) == 10 and len(rows) == 7
    for control in found["controls"]:
        (cells,) = (cells for name, cells in rows.items() if name.startswith(control["name"]))
        of = cells[:2] if control["encoding"] is None else [cells[ENCODINGS.index(control["encoding"])]]
        figure = control["detail"] if control["auc"] is None else with_interval(control["auc"], control["interval"])
        assert set(of) == {f"holds{figure}"} and cells[-1] == control["rule"]


def test_summary_has_accuracy_beside_each_auc(page, found):
    rows = page.rows("Summary")
    for name, result in found["encodings"].items():
        main = [a for a in result["attacks"] if a["name"] == "lira_online"]
        fit = result["averaging"]["lira_online"]
        best = max(result["attacks"], key=lambda a: a["auc"])
        assert rows[name] == [
            percent(result["test_accuracy"], result["test_accuracy_interval"]),
            percent(result["train_accuracy"], result["train_accuracy_interval"]),
            *(above_interval(a["auc"], a["auc_interval"]) for a in main),
            above_interval(fit["limit"], fit["limit_interval"]) + ", undetermined" * undetermined(fit),
            f"{above_interval(best['auc'], best['auc_interval'])}; {best['name']}, K = {best['queries']}",
        ]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_attack_with_its_intervals(page, found, encoding):
    attacks = found["encodings"][encoding]["attacks"]
    rows, everything = (page.rows(f"{encoding}: test accuracy", number) for number in (0, 1))
    names = list(dict.fromkeys(a["name"] for a in attacks))
    assert list(rows) == ["attack", *names] and len(names) >= 14 and list(everything) == ["attack", *names]
    for name in names:
        of = {a["queries"]: a for a in attacks if a["name"] == name}
        cells = [above_interval(of[k]["auc"], of[k]["auc_interval"]) if k in of else "–" for k in (1, 2, 4)]
        last = of[max(of)]
        more = [above_interval(last["attacker_advantage"], last["attacker_advantage_interval"])]
        more += [above_interval(last["tpr_at_fpr"]["0.1"], last["tpr_at_fpr_interval"]["0.1"])]
        assert rows[name] == [*cells, *more, above_interval(last["ppv"]["0.1"], last["ppv_interval"]["0.1"])]
        assert last["tpr_at_fpr"]["0.1"] is not None and last["tpr_at_fpr"]["0.01"] is None
        assert everything[name][3] == above_interval(last["threshold_advantage"], last["threshold_advantage_interval"])
    with_threshold = {a["name"] for a in attacks if a["threshold_advantage"] is not None}
    assert with_threshold == {"loss", "entropy", "modified_entropy", "energy", "label_only"}


def test_intervals_above_one_half_are_bold_and_no_others(html, found):
    attacks = [a for result in found["encodings"].values() for a in result["attacks"]]
    assert {a["auc_interval"][0] > 0.5 for a in attacks} == {True, False}
    for a in attacks:
        figures = f"{a['auc']:.3f}<small>{a['auc_interval'][0]:.3f} to {a['auc_interval'][1]:.3f}"
        bold = re.search(rf'<td class="bold" data-sort="[^"]*">{re.escape(figures)}', html) is not None
        assert bold == (a["auc_interval"][0] > 0.5), a


def test_limits_of_averaging_with_intervals(page, found):
    rows = page.rows("The limit for K")
    assert set(found["encodings"]["rate"]["averaging"]) == set(rows) - {"attack"} and len(rows) >= 11
    seen = set()
    for name, cells in rows.items():
        for encoding, cell in zip(ENCODINGS, cells, strict=True):
            if name == "attack":
                continue
            fit = found["encodings"][encoding]["averaging"][name]
            if fit["reason"] is not None:
                assert cell == f"no fit{fit['reason']}"
                continue
            low, high = fit["limit_interval"]
            wide = high - low > 0.25
            seen.add(wide)
            note = ", undetermined" if wide else f"; noise {100 * fit['encoding_variance']:.0f} %"
            assert cell == above_interval(fit["limit"], (low, high)) + note
    assert False in seen


def test_comparisons(page, found):
    rows = [rows for heading, rows in page.tables if heading == "Encodings compared"]
    (shown,) = rows[0][1:]
    (of,) = (c for c in found["comparisons"] if (c["attack"], c["queries"]) == ("lira_online", 4))
    difference, low, high = (f"{value:+.3f}" for value in (of["difference"], *of["interval"]))
    assert shown == ["lira_online", "4", "rate − poisson_burst", f"{difference}{low} to {high}"]
    assert len(rows[1]) - 1 == len(found["comparisons"])


def test_splits_threat_limits_and_versions(page, found):
    text, counts = " ".join("".join(page.text).split()), found["counts"]
    rows = page.rows("Splits")
    parts = ("members", "non_members", "population", "shadow_pool", "test")
    assert {part: rows[part.replace("_", "-" if part == "non_members" else " ")][0] for part in parts} == {
        part: str(counts[part]) for part in parts
    }
    for sentence in (
        "which of 220 examples the target was trained on. Half of them are members.",
        "An attack that fails proves nothing about stronger attacks",
        "With 2 shadow models the likelihood ratios are rough",
        "The largest K is 4. The limit for K → ∞ comes from fitting",
        f"SHA-256 {found['data']['fingerprint'][:16]}",
        *(f"{name} {version}" for name, version in found["versions"].items()),
    ):
        assert sentence in text, sentence


def test_offline_lira_below_chance_is_explained_where_it_is_printed(found):
    low = copy.deepcopy(found["encodings"]["rate"])
    for attack in low["attacks"]:
        attack["auc"] = 0.43 if attack["name"] == "lira_offline" else 0.6
    audit = {**found, "encodings": {"rate": low}}
    assert attacks_table("rate", low, "its members").note.startswith("lira_offline is below 0.5. It only uses models")
    assert audit_tables.attacks(audit, "rate", False)[0].note.startswith("lira_offline is below 0.5")
    for attack in low["attacks"]:
        attack["auc"] = 0.6
    assert attacks_table("rate", low, "its members").note == ""
    assert audit_tables.attacks(audit, "rate", False)[0].note == ""


# The file -----------------------------------------------------------------------------------------------------------


def test_it_asks_nobody_for_anything(audit_folder, html, page):
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "image", "object", "embed", "base"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    asked = [attrs[name] for _, attrs in page.tags for name in ("href", "xlink:href", "src", "action") if name in attrs]
    assert len(asked) > 100
    for target in asked:
        assert target[1:] in ids if target.startswith("#") else (audit_folder / target).is_file(), target
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.startswith("#") and target[1:] in ids, target
    assert "@import" not in html
    spaces = [value for _, attrs in page.tags for name, value in attrs.items() if name.startswith("xmlns")]
    assert html.count("http:") + html.count("https:") == len(spaces)
    assert set(spaces) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_names_are_escaped(html):
    assert "&lt;i&gt;data" in html and "<i>data" not in html


def test_plots_can_be_read_on_a_phone(page):
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    panels = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(panels) == 2 + 3 + 1 + 2 + 1
    assert len({attrs["aria-label"] for attrs in panels}) == len(panels)
    sizes = [
        float(size) for _, attrs in page.tags for size in re.findall(r"font-size: ([\d.]+)px", attrs.get("style") or "")
    ]
    widest = max(float(attrs["viewbox"].split()[2]) for attrs in panels)
    assert min(sizes) * 358 / widest > 10  # pixels, of 390 less the margins


@pytest.mark.thorough
def test_written_again_it_is_the_same(audit_folder, html):
    assert write_report(audit_folder) == audit_folder / "audit.html"
    assert (audit_folder / "audit.html").read_text() == html


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(InputError, match="out must be a finished audit, .* has no audit.json"):
        write_report(tmp_path)


def test_scores_of_another_audit_are_refused(audit_folder, found, tmp_path, without_figures):
    out = shutil.copytree(audit_folder, tmp_path / "a")
    found = copy.deepcopy(found)
    found["encodings"]["rate"]["attacks"][0]["auc"] += 0.01
    (out / "audit.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="scores.npz must be of the scores of audit.json: the AUC of .* on rate is"):
        write_report(out)


# Other audits -------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_figures(monkeypatch):
    """Leave out what takes most of a page's time."""
    monkeypatch.setattr("kerasburst.reports.audit.audit_figures", lambda *_: [])


@pytest.fixture
def render(audit_folder, tmp_path, monkeypatch, without_figures):
    """Write the page of an audit whose models are pretended, without its figures."""

    def write(models, **config):
        monkeypatch.setattr(RUN_FLEET, models)
        options = {"encodings": ENCODINGS, "members": 40, "queries": (2,), "num_steps": 3} | config
        audit(audit_config(audit_folder.parent / "<i>data.npz", **options), tmp_path / "audit")
        text = write_report(tmp_path / "audit").read_text()
        return Page(text), json.loads((tmp_path / "audit" / "audit.json").read_text())

    return write


def test_an_invalid_audit_says_so_before_all_else_and_at_the_end(render):
    page, found = render(Pretend(leaks={"planted": 0.0, "untrained": 0.0}), population=20, shadows=2)
    failed = [c for c in found["controls"] if not c["ok"]]
    assert [c["name"] for c in failed] == ["planted_leak"] * 2
    text = " ".join("".join(page.text).split())
    assert text.startswith("Membership-inference audit: <i>data (invalid)")
    said = "Invalid. 2 of 10 controls failed. Use no figure of this audit."
    assert text.count(said) == 2 and text.index(said) < text.index("Summary") < text.rindex(said)
    for c in failed:
        came = with_interval(c["auc"], c["interval"])
        assert f"planted_leak ({c['encoding']}) failed: the AUC was {came}; the rule: {c['rule']}" in text
    (cells,) = (cells for name, cells in page.rows("Controls").items() if name.startswith("planted_leak"))
    assert [cell[:6] for cell in cells[:2]] == ["FAILED"] * 2
    assert page.rows("Summary")["rate"] == ["not to be used: planted_leak"]
    assert "Encodings compared" not in text and text.count("not to be used, planted_leak failed") == 2


def test_each_encoding_is_judged_by_its_own_controls_and_those_of_the_data(found):
    def fail(name, encoding):
        audit = copy.deepcopy(found)
        for c in audit["controls"]:
            c["ok"] &= (c["name"], c["encoding"]) != (name, encoding)
        audit["valid"] = False
        return audit

    partly = fail("planted_leak", "rate")
    assert judge(partly).word == "partly valid"
    assert judge(partly).text == "1 of 10 controls failed. Use no figure of rate. All controls of poisson_burst hold."
    item = Item(kind="audit", path=Path("a/audit.json"), label="a", link="a/audit.json", value=partly, config={})
    line = headline(item)
    assert "rate not to be used (planted_leak failed); poisson_burst AUC" in line and line.count("AUC") == 1
    ((rate, poisson),) = (table.rows for table in tables([item]))
    assert rate[4].line == "not to be used (planted_leak failed)" and poisson[4].text == "all hold"
    assert {cell.text for cell in rate[7:]} == {"–"} and "–" not in {cell.text for cell in poisson[7:]}
    drawn = drawings([item])[0]
    assert [label for _, label in drawn.legend] == ["poisson_burst"]
    of_data = fail("blind_baseline", None)
    assert judge(of_data).text == "1 of 10 controls failed. Use no figure of this audit."
    assert drawings([dataclasses.replace(item, value=of_data)]) == []


def test_an_audit_without_controls_is_not_valid(found):
    for show in (
        judge,
        lambda audit: headline(Item(kind="audit", path=Path("a"), label="a", link="a", value=audit, config={})),
    ):
        with pytest.raises(InputError, match="^audit.json must have controls, it has none$"):
            show({**found, "controls": []})


def test_several_targets_have_intervals_over_them(render):
    page, found = render(Pretend(), targets=3, population=20, shadows=2)
    rows = page.rows("rate: test accuracy")
    low, high = next(a for a in found["encodings"]["rate"]["attacks"] if a["name"] == "loss")[
        "auc_interval_over_targets"
    ]
    assert rows["attack"][2] == "over targets" and rows["loss"][2] == f"{low:.3f} to {high:.3f}"


@pytest.mark.parametrize("protocol", ["paper", "paper-overlapping"])
def test_the_papers_protocol_has_each_class_macro_and_pooled(render, protocol):
    page, found = render(Pretend(), protocol=protocol, encodings=("rate",))
    (attack,) = found["encodings"]["rate"]["attacks"]
    rows = page.rows("rate: test accuracy", 1)
    figures = [(attack["auc_per_class"][label], attack["auc_interval_per_class"][label]) for label in ("0", "1", "2")]
    figures += [(attack["auc_macro"], attack["auc_macro_interval"]), (attack["auc"], attack["auc_interval"])]
    assert rows["AUC by class, K = 2"] == ["0", "1", "2", "macro", "pooled"]
    assert rows["svm"] == [above_interval(*each) for each in figures]
    text = " ".join("".join(page.text).split())
    assert f"share {found['overlap']} of 40 training examples" in text and "bypass" not in text
    assert ("no evidence of privacy" in text) == (protocol == "paper-overlapping")


def test_a_bound_above_the_certified_epsilon_raises_the_alarm():
    def arm(certified, bound):
        return {"certified_epsilon": certified, "epsilon": [{"epsilon": bound, "attack": "lira", "confidence": 0.95}]}

    found = {"encodings": {"intact": arm(1.0, 1.0), "plain": arm(None, 3.0), "old": {}, "broken": arm(1.0, 1.26)}}
    (line,) = alarms(found)
    assert line.startswith("broken: epsilon is at least 1.26 by lira, with 95% confidence, above the certified 1:")


def test_a_certified_epsilon_is_shown_without_a_bound_beside_it():
    arms = {"of a run": {"certified_epsilon": 8.0, "epsilon": []}, "plain": {"certified_epsilon": None, "epsilon": []}}
    config = {"config": {"train": {}}}
    table = audit_tables.epsilon({"encodings": arms, "controls": [], **config})
    assert [[cell.text for cell in row] for row in table.rows] == [["of a run", "8"]]
    assert list(table.head) == ["arm", "certified epsilon"]  # what no row has is no column
    plain = {"encodings": {"plain": arms["plain"]}, "controls": [], **config}
    assert audit_tables.epsilon(plain) is None


def test_a_bound_of_epsilon_has_its_counts_beside_it():
    bound = {"method": "clopper_pearson", "epsilon": 1.234, "confidence": 0.95, "attack": "rmia", "threshold": 0.75}
    counts = {"true_positives": 60, "members": 300, "false_positives": 3, "non_members": 200}
    run = {"method": "one_run", "epsilon": 0.5, "confidence": 0.95, "attack": "rmia", "right": 41, "guesses": 50}
    audit = {"encodings": {"plain": {"epsilon": [bound | counts, run]}}, "controls": [], "config": {"train": {}}}
    table = audit_tables.epsilon(audit)
    counted = [row[table.head.index("counted")].text for row in table.rows]
    first = "TPR 60 of 300 members (20.0 %), FPR 3 of 200 non-members (1.5 %) with scores of at least 0.75"
    assert counted == [first, "41 of 50 guesses are right"] and "in nats" in table.note
    older = {**audit, "encodings": {"plain": {"epsilon": [bound]}}}
    assert "counted" not in audit_tables.epsilon(older).head


def test_a_valid_audit_that_could_find_no_leak_says_so_first(audit_folder, found, tmp_path, without_figures):
    shy = copy.deepcopy(found)
    for c in shy["controls"]:
        if (c["name"], c["encoding"]) == ("planted_leak", "rate"):
            c["interval"] = [0.45, 0.7]
    rate = "no control shows that this audit can find a leak of rate: no model is shown to have learnt mislabelled"
    verdict = judge(shy)
    assert verdict.word == "valid" and verdict.lead.startswith(f"valid, but {rate}")
    assert verdict.line == f"{verdict.lead}. {judge(found).text}" and judge(found).line.startswith("valid: All 10")
    out = shutil.copytree(audit_folder, tmp_path / "a")
    (out / "audit.json").write_text(json.dumps(shy | {"notes": list(verdict.caveats)}))
    html = write_report(out).read_text()
    assert html.count(f'<div class="verdict warn"><b>Valid, but {rate}') == 2 and "Note:" not in html
    item = Item(kind="audit", path=Path("a/audit.json"), label="a", link="a/audit.json", value=shy, config={})
    assert f"valid, but {rate}" in headline(item)


def test_what_else_must_be_known_is_on_the_page(audit_folder, tmp_path, without_figures):
    out = shutil.copytree(audit_folder, tmp_path / "a")
    value = json.loads((out / "audit.json").read_text())
    (out / "audit.json").write_text(json.dumps(value | {"notes": ["members were seen <augmented>", "few members"]}))
    html = write_report(out).read_text()
    assert "Note: members were seen &lt;augmented&gt;." in html and "Note: few members." in html
    del value["notes"]  # as an earlier version wrote it
    (out / "audit.json").write_text(json.dumps(value))
    assert "Note:" not in write_report(out).read_text()
