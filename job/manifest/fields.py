"""The base of all sections, which is strict, and types that several sections use."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Tag


class Config(BaseModel):
    """Frozen; an unknown field is an error, so that no misspelt one is ignored.

    Validators are built when first used (``defer_build``), and defaults that are models are made
    by factories: a command that only validates starts in half the time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _holds_no_secret(uri: str) -> str:
    """Refuse credentials in URIs: the manifest is written into the result."""
    scheme, colon, rest = uri.partition("://")
    host, _, path = rest.partition("/")
    port = host.partition(":")[2]  # or a password, with a slash in it
    if colon and scheme.lower() != "s3":
        query = path.partition("?")[2].lower()
        if "@" in host or (port and not port.isdecimal()) or any(it in query for it in SECRETS):
            raise ValueError(
                "this URI holds a user, a password or a signature; credentials are never in a "
                "manifest: they come from the environment"
            )
    elif colon and ("@" in host or port):
        raise ValueError("this names no bucket; credentials come from the environment")
    return uri


# Parts of a URL's query that carry credentials.
SECRETS = ("signature=", "credential=", "token=", "sig=", "key=", "secret=", "password=")


def auto_or_rules(value: object) -> str:
    """Which shape of a list of rules is meant, so that only that shape's mistakes are reported."""
    return "auto" if isinstance(value, str) else "rules"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


# For tuples of a class with a validator that runs before: what it gives back is no JSON any more,
# and in Python a list is no tuple where validation is strict.
FROM_LIST = BeforeValidator(_as_tuple)
Auto = Annotated[Literal["auto"], Tag("auto")]
Uri = Annotated[str, Field(min_length=1), AfterValidator(_holds_no_secret)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=3e38)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Step = Annotated[int, Field(ge=0, le=2**31 - 1)]
OutputName = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
