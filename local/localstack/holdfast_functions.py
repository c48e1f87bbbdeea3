"""
Lambda functions as processes of Node: an executor for LocalStack in host mode, where no Docker runs.

LocalStack's community edition runs a function in a container or not at all. With this module on its PYTHONPATH and
LAMBDA_RUNTIME_EXECUTOR=node it does all it does otherwise (code from the bucket, environment, roles' credentials, event
source mappings, concurrency), and the function's own code runs in a process of this machine's Node, one for each
environment, which is given one event at a time.

Invariant: a process never outlives its environment, nor LocalStack: the end of its standard input ends it.
"""

import json
import os
import subprocess
import threading
from collections import deque
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

RUNTIME = Path(__file__).with_name("runtime.mjs")
MARK = "@answer "
GRACE_SECONDS = 3


class NodeExecutor(RuntimeExecutor):
    """One environment of a function: a process that takes an event and gives an answer, line by line."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id, function_version)
        self.process: subprocess.Popen | None = None
        self.turn = threading.Lock()
        self.log_lines: deque[str] = deque(maxlen=200)

    def start(self, env_vars: dict[str, str]) -> None:
        code = self.function_version.config.code.get_unzipped_code_location()
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = keep | {name: str(value) for name, value in env_vars.items()}
        self.process = subprocess.Popen(
            [os.environ["HOLDFAST_NODE"], str(RUNTIME)],
            cwd=code,
            env=env | {"LAMBDA_TASK_ROOT": str(code)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if self._read().get("ready") is not True:
            raise LambdaRuntimeException(self.get_logs())

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        request_id = payload["invoke-id"]
        timeout = self.function_version.config.timeout
        order = {
            "event": payload["payload"],
            "requestId": request_id,
            "arn": payload["invoked-function-arn"],
            "timeoutMs": timeout * 1000,
        }
        with self.turn:
            # What Lambda does to a function that does not end in time.
            watch = threading.Timer(timeout, self.process.kill)
            watch.start()
            try:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
                answer = self._read()
            except (BrokenPipeError, ValueError):
                answer = {}
            finally:
                watch.cancel()
        if not answer:
            said = {"errorType": "Runtime.ExitError", "errorMessage": f"ended or took more than {timeout} seconds"}
            answer = {"payload": json.dumps(said), "isError": True}
        return InvocationResult(
            request_id=request_id,
            payload=answer["payload"].encode(),
            is_error=answer["isError"],
            logs=self.get_logs(),
        )

    def get_logs(self) -> str:
        return "".join(self.log_lines)

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}"

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Only the code was prepared, and LocalStack removes it itself."""

    def _read(self) -> dict:
        """The next answer, or nothing when the process has ended; what it says beside answers is its log."""
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
            self.log_lines.append(line)
        return {}


class NodeExecutorPlugin(RuntimeExecutorPlugin):
    name = "node"

    def load(self, *args, **kwargs):
        return NodeExecutor
