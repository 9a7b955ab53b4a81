"""`report.html` of a robustness record: what people sign, and what they show others."""
