"""Runs a command and tells what it cost: CPU seconds and peak memory of the whole process, and wall seconds."""
import json
import subprocess
import sys

# A small parent whose only child is the command, so that its children's usage is the command's.
PARENT = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(json.loads(sys.argv[1]), stdin=sys.stdin, capture_output=True, text=True)
wall = time.perf_counter() - begin
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps(dict(cpu=usage.ru_utime + usage.ru_stime, wall=wall, peak=usage.ru_maxrss / 1024,
                      code=done.returncode, out=done.stdout, err=done.stderr)))
"""


def measure(command, cwd=None, stdin=""):
    """cpu and wall in seconds, peak in MiB, exit code, standard output and error of one run of the command."""
    done = subprocess.run([sys.executable, "-c", PARENT, json.dumps(list(map(str, command)))], cwd=cwd, input=stdin,
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def best(command, runs=3, **options):
    """The run of least CPU time among a few; an error of any run is raised."""
    results = [measure(command, **options) for _ in range(runs)]
    for result in results:
        if result["code"] != 0:
            raise RuntimeError(result["err"] or result["out"])
    return min(results, key=lambda r: r["cpu"])
