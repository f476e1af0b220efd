"""Credentials, and the limiter that refuses: it protects your service from its clients.

The `RateLimiter` here judges each client by itself and raises. The one in `genesis_replicator` waits, and
protects you from a provider's limit.
"""

from genesis_replicator._native import KeyedRateLimiter as RateLimiter
from genesis_replicator._native import (
    RateLimitDecision,
    SecurityEvent,
    explain_credentials,
    validate_credentials,
)
from genesis_replicator.exceptions import (
    AuthenticationError,
    InvalidCredentialsError,
    RateLimitExceededError,
    SecurityError,
    TlsError,
)

__all__ = [
    "AuthenticationError",
    "InvalidCredentialsError",
    "RateLimitDecision",
    "RateLimitExceededError",
    "RateLimiter",
    "SecurityError",
    "SecurityEvent",
    "TlsError",
    "explain_credentials",
    "validate_credentials",
]
