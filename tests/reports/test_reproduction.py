import dataclasses
import json

from kerasburst import records
from kerasburst.paper.claims import CLAIMS
from kerasburst.paper.judging import RULES, audited, judge_claim
from kerasburst.paper.result import Reproduction
from kerasburst.reports.reproduction import figure, interval, reproduction_markdown, said
from tests.paper.test_judging import audits, part


def reproduction(complete=True):
    """Return a reproduction of two claims, one of which could not be measured."""
    found = audits(0.02, 0.03, 0.04, accuracies=(0.9, 0.87, 0.9))
    plan = [records.to_json(p) | {"state": "finished", "reason": ""} for p, _ in found]
    plan.append(records.to_json(part("profile")) | {"state": "failed", "reason": "no GPU | here"})
    claims = [
        judge_claim(CLAIMS["poisson_auc"], found),
        judge_claim(CLAIMS["poisson_power"], [], why_not=["profile: no GPU | here"]),
    ]
    result = Reproduction(
        scale="smoke",
        note="for tests",
        complete=complete,
        claims=tuple(claims),
        audits=audited(found),
        plan=tuple(plan),
        skipped={"cifar10": "not on this machine"},
        notes={"mnist": "a subset of MNIST"},
        rules=RULES,
        config={},
        versions=({"kerasburst": "0.1.0"}, {"kerasburst": "0.2.0"}),
    )
    return json.loads(json.dumps(records.to_json(result)))


def test_verdicts_come_first_with_figure_interval_and_seeds():
    page = reproduction_markdown(reproduction())
    rows = [line for line in page.splitlines() if line.startswith("| Poisson-Burst")]
    assert rows[0] == (
        "| Poisson-Burst lowers attack AUC against rate coding | by up to 6.5 % of its value (one shadow "
        "model, SVMs on final membranes, after equal epochs) | AUC(rate) − AUC(poisson_burst): "
        "+0.030 | +0.005 to +0.055 | 3 | supported, confounded |"
    )
    assert "not measurable here: profile: no GPU \\| here |" in rows[1]
    assert page.index("## Verdicts") < page.index("## Rules") < page.index("## Every figure")
    assert "not complete" not in page


def test_every_k_is_shown_with_accuracies_beside():
    page = reproduction_markdown(reproduction())
    assert (
        "| mnist | audit: lira_online | 1 | rate 0.6 at accuracy 90.0%, poisson_burst 0.6 at accuracy 87.0% |" in page
    )
    assert (
        "| mnist | audit: lira_online | 4 | rate 0.7 at accuracy 90.0%, poisson_burst 0.67 at accuracy 87.0% |" in page
    )
    same = "87.0% (87.0% to 87.0%) | 100.0% (100.0% to 100.0%)"  # every seed's accuracies
    assert f"| mnist | audit | poisson_burst | {same} | lira_online, K = 1: 0.600 (0.600 to 0.600); " in page


def test_accuracies_have_intervals_over_seeds():
    result = reproduction()
    result["audits"][0]["test_accuracies"] = {"0": 0.9, "1": 0.92}
    result["audits"][1]["test_accuracies"] = {"0": 0.9}
    page = reproduction_markdown(result)
    assert "| mnist | audit | rate | 91.0% (78.3% to 100.0%) | " in page  # 0.91 +- 12.706 * 0.01
    assert "| mnist | audit | poisson_burst | 90.0% | " in page


def test_what_a_verdict_hides_stands_beside_it():
    result = reproduction()
    result["claims"][0]["doubts"] = ["without cifar10 contradicted"]
    result["claims"][0]["rows"][0]["doubts"] = ["no better than chance"]
    page = reproduction_markdown(result)
    assert "| 3 | supported, confounded; without cifar10 contradicted |" in page
    assert page.count("(no better than chance) |") == 1


def test_what_was_left_out_is_told():
    page = reproduction_markdown(reproduction(complete=False))
    assert "- cifar10: not on this machine" in page and "- profile/mnist/None-seed-0: no GPU | here" in page
    assert "- mnist: a subset of MNIST" in page and "3 of 4 parts finished: **not complete**" in page
    assert "| profile | mnist | 1 | 1 | 1 failed |" in page
    assert page.endswith("## Made with\n\n- kerasburst 0.1.0\n- kerasburst 0.2.0\n")


def test_networks_that_do_not_work_are_named_beside_the_verdicts_and_in_their_rows():
    found = [
        (part("train", 0, encoding=name), {"test_accuracy": accuracy, "warnings": warned})
        for name, accuracy, warned in (("rate", 0.9, []), ("poisson_burst", 0.1, ["hidden_lif is silent"]))
    ]
    judged = json.loads(json.dumps(dataclasses.asdict(judge_claim(CLAIMS["poisson_accuracy"], found))))
    result = reproduction()
    assert "silent or saturated layers" not in reproduction_markdown(result)
    page = reproduction_markdown(result | {"claims": [judged, judged]})
    assert page.index("## Verdicts") < page.index("silent or saturated layers") < page.index("## Rules")
    assert page.count("- mnist: poisson_burst, seed 0: hidden_lif is silent\n") == 1
    assert page.count("(poisson_burst, seed 0: hidden_lif is silent) |") == 2


def test_points_and_aucs_have_their_digits():
    claim = {"figure": "test accuracy, points", "verdict": {"figure": 2.0, "interval": [1.0, -3.0]}}
    assert (figure(claim), interval(claim)) == ("+2.00", "+1.00 to -3.00")
    none = {
        "figure": "AUC",
        "verdict": {"figure": None, "interval": None, "verdict": "x", "confounded": 0, "reason": ""},
    }
    assert (figure(none), interval(none), said(none)) == ("–", "–", "x")
