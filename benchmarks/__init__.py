"""One file per figure of docs/performance.md: `make bench` measures them all, ``python -m benchmarks.NAME`` one."""
