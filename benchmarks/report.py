"""The results as Markdown and as pictures; reads results and computes nothing."""

from __future__ import annotations

from matplotlib.figure import Figure


def table_markdown(results: dict) -> str:
    """Return the table's results as Markdown."""
    lines = ["# kerasburst against its peers", "", *_preamble(results)]
    for group in results["groups"]:
        lines += ["", f"## {group['group']}: {group['title']}", "", *_measurements(group["measurements"])]
        if group["comparisons"]:
            lines += ["", "| ratio | median | quartiles | target | met |", "|---|---|---|---|---|"]
            lines += [_comparison(row) for row in group["comparisons"]]
        lines += [""] * bool(group["more"]) + [_more(row) for row in group["more"]]
    if results.get("memory"):
        lines += ["", *_memory(results["memory"])]
    return "\n".join(lines) + "\n"


def sweep_markdown(results: dict) -> str:
    """Return the sweep's results as Markdown."""
    lines = ["# SNNConvNet training step against time steps and batch size", "", *_preamble(results)]
    for point in results["points"]:
        how = "together" if point["measured_together"] else "one after the other, for memory's sake"
        lines += ["", f"## batch {point['batch_size']}, T = {point['num_steps']} ({how})", ""]
        lines += _measurements(point["measurements"])
    lines += ["", "## Against T", ""]
    lines += ["| library | ms a time step | R squared | last / first | peak MB a time step |", "|---|---|---|---|---|"]
    for row in results["lines"]:
        figures = ("step_ms_per_time_step", "r_squared", "last_to_first", "peak_rss_mb_per_time_step")
        lines.append(f"| {row['label']} | " + " | ".join(_figure(row[name]) for name in figures) + " |")
    lines += ["", "last / first: time for each time step at the largest T over that at the smallest; 1 is linear."]
    return "\n".join(lines) + "\n"


def check_text(rows: list[dict]) -> str:
    """Return the check's results as lines."""
    lines = []
    for row in rows:
        found = row["reason"] or f"differ by {row['difference']:.1e} (allowed {row['allowed']:.0e})"
        lines.append(f"{'agrees' if row['agrees'] else 'DIFFERS':<8}{row['library']:<13}{row['what']}: {found}")
    return "\n".join(lines)


def _preamble(results: dict) -> list[str]:
    machine, limits, settings = results["machine"], results["limits"], results["settings"]
    rates = (
        f"float32 matmul {_figure(limits['matmul_float32_gflop_per_s'])} GFLOP/s",
        f"bfloat16 matmul {_figure(limits['matmul_bfloat16_gflop_per_s'])} GFLOP/s",
        f"copy {_figure(limits['copy_gb_per_s'])} GB/s",
    )
    flags = ", ".join(machine["cpu_flags"] or ["unknown"])
    lines = ["**A smoke run: tiny sizes, the figures mean nothing.**", ""] if settings["quick"] else []
    if results["busy_machine"]:
        lines += ["**The machine had other work to do: the figures are doubtful, and torch suffers from it most.**", ""]
    lines += [
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {_figure(machine['memory_mb'])} MB; {flags}; "
        f"{machine['platform']}.",
        f"- {settings['threads']} threads, {settings['repeats']} blocks of {settings['block_s']:g} s or a step each, "
        f"in turn after warm-up. Load in the minute before: {_figure(results['load_average_before'])}.",
        f"- Limits (best of {limits['samples']} measurements during the run, the slowest matmul at "
        f"{_figure(limits['lowest_share_percent'])} % of the best): {', '.join(rates)}."
        + (f" {limits['reason']}" if limits["reason"] else ""),
        "- " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".",
        f"- Took {_figure(results['run_s'])} s.",
    ]
    lines += [f"- Stopped early: {results['stopped']}."] if results.get("stopped") else []
    return lines


def _measurements(measurements: list[dict]) -> list[str]:
    rows = [
        "| who | batch | T | ms a step | quartiles | spread | samples/s | of limit | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for m in measurements:
        size = f"| {m['label']} | {m['batch_size']} | {m['num_steps']} |"
        if m["reason"] is not None:
            rows.append(f"{size} unknown: {_cell(m['reason'])} | | | | | |")
            continue
        share = "-" if m["share_of_limit_percent"] is None else f"{m['share_of_limit_percent']:.0f} %"
        rows.append(
            f"{size} {m['step_ms_median']:.2f} | {m['step_ms_q1']:.2f} - {m['step_ms_q3']:.2f} | "
            f"{m['spread_percent']:.1f} % | {m['samples_per_s_median']:,.0f} | {share} | {_figure(m['peak_rss_mb'])} |"
        )
    return rows


def _comparison(row: dict) -> str:
    name = f"| {row['of']} / {row['to']} |"
    if row["ratio_median"] is None:
        return f"{name} unknown: {_cell(row['reason'])} | | | |"
    target = "-" if row["target_ratio"] is None else f">= {row['target_ratio']:g}"
    if row["or_limit_percent"] is not None:
        target += f" or {row['or_limit_percent']:g} % of the limit"
    return (
        f"{name} {row['ratio_median']:.2f} | {row['ratio_q1']:.2f} - {row['ratio_q3']:.2f} | {target} | "
        f"{_met(row['met'])} |"
    )


def _more(row: dict) -> str:
    (name,) = (key for key in row if key.startswith("value_"))
    unit = {"percent": "%"}.get(name.removeprefix("value_"), name.removeprefix("value_"))
    bound = next(((word, row[word]) for word in ("at_least", "at_most") if row.get(word) is not None), None)
    asked = "" if bound is None else f" ({bound[0].replace('_', ' ')} {bound[1]:g} {unit}: {_met(row['met'])})"
    return f"- {row['what']}: {_figure(row[name])} {unit}{asked}"


def _memory(memory: dict) -> list[str]:
    rows = memory["rows"]
    names = [name for name in next(iter(rows.values())) if name.startswith(("peak_", "step_ms_"))]
    heads = [*(name.replace("_", " ") for name in names), "growth MB a step", "of snnTorch's", "target", "met"]
    lines = [f"## memory: peak RSS of SNNConvNet's training step, batch {memory['batch_size']}", ""]
    lines += ["| who | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for label, row in rows.items():
        figures = [_figure(row[name]) for name in (*names, "growth_mb_per_step", "share_of_snntorch")]
        target = "-" if row["target_share"] is None else f"<= {row['target_share']:g}"
        lines.append(f"| {label} | " + " | ".join([*figures, target, _met(row["met"])]) + " |")
        if row["reason"] is not None:
            lines.append(f"| {label} | unknown: {_cell(row['reason'])} |" + " |" * (len(heads) - 1))
    return lines


def _met(met: bool | None) -> str:
    return "-" if met is None else "yes" if met else "NO"


def _cell(text: str) -> str:
    return text.replace("|", "/")


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.5g}" if abs(value) < 1000 else f"{value:,.0f}"


# Pictures ---------------------------------------------------------------------------------------


def table_figure(results: dict) -> Figure:
    """Draw every known ratio with its quartiles and its target."""
    rows = [
        (f"{group['group']}: {row['of']} / {row['to']}", row)
        for group in results["groups"]
        if group["group"] != "train"  # a slowdown, not a speed-up: it stands in the table
        for row in group["comparisons"]
        if row["ratio_median"] is not None
    ]
    figure = Figure(figsize=(9, 1.2 + 0.32 * max(1, len(rows))), layout="constrained")
    axes = figure.add_subplot()
    for i, (_, row) in enumerate(rows):
        low, middle, high = row["ratio_q1"], row["ratio_median"], row["ratio_q3"]
        color = {True: "tab:green", False: "tab:red", None: "tab:blue"}[row["met"]]
        axes.barh(i, middle, color=color, alpha=0.7, xerr=[[middle - low], [high - middle]], capsize=2)
        if row["target_ratio"] is not None:
            axes.plot([row["target_ratio"]] * 2, [i - 0.42, i + 0.42], color="black", lw=1.5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1.0, color="grey", lw=0.8, ls=":")
    axes.set_xlabel("times as fast (median of pairs, quartiles); black: target")
    return figure


def sweep_figure(results: dict) -> Figure:
    """Draw time and peak memory against T, and throughput against the batch size."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    steps, memory, batches = figure.subplots(1, 3)
    found = [m for point in results["points"] for m in point["measurements"] if m["reason"] is None]
    sizes = [point["batch_size"] for point in results["points"]]
    batch_size = max(set(sizes), key=sizes.count) if sizes else None
    own_steps = results["settings"]["num_steps"]
    for label in dict.fromkeys(m["label"] for m in found):
        mine = [m for m in found if m["label"] == label]
        by_steps = sorted((m for m in mine if m["batch_size"] == batch_size), key=lambda m: m["num_steps"])
        by_batch = sorted((m for m in mine if m["num_steps"] == own_steps), key=lambda m: m["batch_size"])
        x = [m["num_steps"] for m in by_steps]
        steps.plot(x, [m["step_ms_median"] for m in by_steps], "o-", ms=3, label=label)
        memory.plot(x, [m["peak_rss_mb"] for m in by_steps], "o-", ms=3, label=label)
        batches.plot([m["batch_size"] for m in by_batch], [m["samples_per_s_median"] for m in by_batch], "o-", ms=3)
    steps.set(xlabel="T", ylabel="ms a training step", title=f"batch {batch_size}")
    memory.set(xlabel="T", ylabel="peak RSS, MB", title=f"batch {batch_size}")
    batches.set(xlabel="batch size", ylabel="samples/s", title=f"T = {own_steps}", xscale="log")
    batches.set_xticks(of_batches := sorted(set(sizes)), of_batches)
    batches.minorticks_off()
    if found:
        steps.legend(frameon=False, fontsize=8)
    return figure
