"""Every command by its name."""

import typer

from services.cli import config, keys, letters, models, providers, requests, routers, secrets
from services.cli.backup import backup, restore
from services.cli.chat import chat
from services.cli.doctor import doctor
from services.cli.explain import explain
from services.cli.later import add_later
from services.cli.output import Json, print_json
from services.cli.rebuild import rebuild
from services.cli.reprice import reprice
from services.cli.simulate import simulate
from services.cli.status import status
from services.cli.up import up
from services.cli.usage import usage

_EPILOG = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 refused."


def build() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(
        name="localrouter",
        help="One OpenAI-compatible URL in front of every model you can reach.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(up)
    app.command()(status)
    app.command()(doctor)
    app.command()(version)
    app.add_typer(keys.app, name="keys")
    app.add_typer(providers.app, name="providers")
    app.add_typer(routers.app, name="routers")
    app.add_typer(models.app, name="models")
    app.command()(chat)
    app.command()(usage)
    app.add_typer(requests.app, name="requests")
    app.command()(explain)
    app.command()(simulate)
    app.command()(reprice)
    app.command()(backup)
    app.command()(restore)
    app.command()(rebuild)
    app.add_typer(letters.app, name="dead-letters")
    app.add_typer(secrets.app, name="secrets")
    app.add_typer(config.app, name="config")
    add_later(app)
    return app


def version(json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        found = installed("localrouter")
    except PackageNotFoundError:
        found = "unknown: run from a folder, not installed"
    if json:
        print_json({"version": found})
    else:
        typer.echo(found)
