"""Many trainings and audits for one question: what parameters do, and whether the paper's claims hold."""
