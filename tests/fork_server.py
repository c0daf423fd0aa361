"""Runs the command line again and again, on any number of ranks, without importing it each time.

Reads one JSON object a line: arguments, folder, ranks, variables. Answers with the process ids, and, when all have
ended, with their exit codes. Ranks find each other by the variables that Lightning's own launcher sets, or by those of
the request, in which RANK stands for the rank.
"""

import json
import os
import socket
import sys
import traceback

from jepa_lightning.cli import lightning_cli, main  # noqa: F401  # imported once, for all forks


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(request: dict, rank: int, port: int) -> int:
    os.chdir(request["folder"])
    output = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if request["ranks"] > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if request["variables"]:
        os.environ.update({name: value.replace("RANK", str(rank)) for name, value in request["variables"].items()})
    elif request["ranks"] > 1:
        os.environ.update(NODE_RANK="0", LOCAL_RANK=str(rank), WORLD_SIZE=str(request["ranks"]))
    sys.argv = ["jepa-lightning", *request["arguments"]]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    for line in sys.stdin:
        request, port, ranks = json.loads(line), free_port(), []
        for rank in range(request["ranks"]):
            process = os.fork()
            if process == 0:
                code = run(request, rank, port)
                sys.stdout.flush()
                os._exit(code)
            ranks.append(process)
        print(json.dumps(ranks), flush=True)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]), flush=True)


if __name__ == "__main__":
    serve()
