"""Long work that a page has asked for: each in a process and a folder of its own.

What was asked for is in `job.json`, and what has come of it in `events.jsonl`, so that
a page, a window or the whole app can go and come back while the work goes on.
"""
