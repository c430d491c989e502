"""The paper's claims, tested: which runs they need, the rules they are judged by, and the verdicts."""
