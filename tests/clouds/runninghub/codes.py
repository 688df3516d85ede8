"""The error codes of RunningHub's API and their messages."""

from __future__ import annotations

IDENTIFIERS = {
    1: "error",
    200: "success",
    301: "PARAMS_INVALID",
    380: "WORKFLOW_NOT_EXISTS",
    401: "ApiKey verification failed: API Key不存在",
    404: "NOT_FOUND",
    412: "TOKEN_INVALID",
    414: "TASK_CREATE_FAILED_BY_NOT_ENOUGH_POWER_VALUE",
    415: "TASK_INSTANCE_MAXED",
    416: "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET",
    421: "TASK_QUEUE_MAXED",
    423: "TASK_NOT_FOUNED",
    433: "VALIDATE_PROMPT_FAILED",
    435: "TASK_USER_EXCLAPI_INSTANCE_NOT_FOUND",
    436: "TASK_USER_EXCLAPI_REQUIRED",
    500: "UNKNOWN_ERROR",
    801: "APIKEY_UNSUPPORTED_FREE_USER",
    802: "APIKEY_UNAUTHORIZED",
    803: "APIKEY_INVALID_NODE_INFO",
    804: "APIKEY_TASK_IS_RUNNING",
    805: "APIKEY_TASK_STATUS_ERROR",
    806: "APIKEY_USER_NOT_FOUND",
    807: "APIKEY_TASK_NOT_FOUND",
    808: "APIKEY_UPLOAD_FAILED",
    809: "APIKEY_FILE_SIZE_EXCEEDED",
    810: "WORKFLOW_NOT_SAVED_OR_NOT_RUNNING",
    811: "CORPAPIKEY_INVALID",
    812: "CORPAPIKEY_INSUFFICIENT_FUNDS",
    813: "APIKEY_TASK_IS_QUEUED",
    814: "PERSONAL_QUEUE_COUNT_LIMIT",
    901: "WEBAPP_NOT_EXISTS",
    1000: "unknown error",
    1001: "invalid URL",
    1002: "invalid API key",
    1003: "rate limit exceeded",
    1004: "task not found or expired",
    1005: "internal error",
    1006: "task timeout",
    1007: "invalid parameters",
    1008: "size limit exceeded",
    1009: "method not supported",
    1010: "service unavailable",
    1011: "system busy",
    1012: "bad upstream response",
    1013: "file processing failed",
    1014: "enterprise shared API key required",
    1015: "generation failed",
    1101: "Node info error",
    1501: "content moderation failed",
    1504: "model timeout",
    1505: "real person detected",
    1520: "concurrency limit exceeded",
}
"""All known codes and their usual messages."""


class ApiError(Exception):
    """An error response, with a code other than 0.

    Args:
        code: The code, as a number or a string of digits.
        msg: The message; by default that of the code.
        data: Further data.
    """

    def __init__(self, code: int | str, msg: str | None = None, data: object = None) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = IDENTIFIERS.get(int(code), "") if msg is None else msg
        self.data = data
