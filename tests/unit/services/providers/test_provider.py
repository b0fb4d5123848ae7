"""What may be decided about a provider."""

import msgspec
import pytest

from services.providers.domain.provider import (
    PROVIDER,
    AddProvider,
    ChangeProvider,
    RemoveCredential,
    RemoveProvider,
    SetCredential,
)
from shared.contracts.config import (
    CredentialRemoved,
    CredentialSet,
    ProviderAdded,
    ProviderChanged,
    ProviderOptions,
    ProviderRemoved,
    ProviderSpec,
)
from shared.testing.deciders import given

SPEC = ProviderSpec(slug="openai", vendor="openai", base_url="https://api.openai.com/v1")
ADDED = ProviderAdded(provider_id="p", spec=SPEC)
STORED = CredentialSet(provider_id="p", credential_id="c1", secret_id="s1", fingerprint="f1")


def changed(**fields) -> ProviderSpec:
    return msgspec.structs.replace(SPEC, **fields)


def test_a_provider_is_added_once():
    given(PROVIDER).when(AddProvider("p", SPEC)).then(ADDED)
    given(PROVIDER, ADDED).when(AddProvider("p", SPEC)).then_refused("already_exists")


def test_a_removed_provider_does_not_come_back():
    given(PROVIDER, ADDED, ProviderRemoved(provider_id="p")).when(AddProvider("p", SPEC)).then_refused("already_exists")


def test_a_change_is_an_event_and_no_change_is_none():
    off = changed(enabled=False)
    given(PROVIDER, ADDED).when(ChangeProvider("p", off)).then(ProviderChanged(provider_id="p", spec=off))
    given(PROVIDER, ADDED).when(ChangeProvider("p", SPEC)).then_nothing()


def test_the_vendor_is_fixed_and_a_slug_in_use_too():
    given(PROVIDER, ADDED).when(ChangeProvider("p", changed(vendor="groq"))).then_refused("vendor_is_fixed")
    renamed = changed(slug="other")
    given(PROVIDER, ADDED).when(ChangeProvider("p", renamed, ("key a",))).then_refused("in_use")
    given(PROVIDER, ADDED).when(ChangeProvider("p", renamed)).then(ProviderChanged(provider_id="p", spec=renamed))


def test_what_is_in_use_is_not_removed():
    given(PROVIDER, ADDED).when(RemoveProvider("p", ("key my-app-1",))).then_refused("in_use")


def test_its_credentials_go_with_a_provider():
    given(PROVIDER, ADDED, STORED).when(RemoveProvider("p")).then(
        CredentialRemoved(provider_id="p", credential_id="c1"), ProviderRemoved(provider_id="p")
    )


def test_a_credential_of_the_same_name_is_replaced_and_of_another_kept():
    second = CredentialSet(provider_id="p", credential_id="c2", secret_id="s2", fingerprint="f2")
    given(PROVIDER, ADDED, STORED).when(SetCredential("p", "c2", "s2", "f2")).then(
        CredentialRemoved(provider_id="p", credential_id="c1"), second
    )
    given(PROVIDER, ADDED, STORED).when(SetCredential("p", "c2", "s2", "f2", "spare")).then(
        CredentialSet(provider_id="p", credential_id="c2", secret_id="s2", fingerprint="f2", name="spare")
    )


def test_credentials_are_removed_one_or_all():
    removed = CredentialRemoved(provider_id="p", credential_id="c1")
    given(PROVIDER, ADDED, STORED).when(RemoveCredential("p", "c1")).then(removed)
    given(PROVIDER, ADDED, STORED).when(RemoveCredential("p")).then(removed)
    given(PROVIDER, ADDED).when(RemoveCredential("p", "c1")).then_refused("credential_not_found")


def test_nothing_is_decided_about_a_provider_that_is_not_there():
    for command in (ChangeProvider("p", SPEC), RemoveProvider("p"), RemoveCredential("p")):
        given(PROVIDER).when(command).then_refused("provider_not_found")


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (changed(slug="Open AI"), "invalid_slug"),
        (changed(slug="router"), "invalid_slug"),
        (changed(slug="a/b"), "invalid_slug"),
        (changed(slug=""), "invalid_slug"),
        (changed(vendor="nobody"), "unknown_vendor"),
        (changed(base_url="ftp://x"), "invalid_base_url"),
        (changed(options=ProviderOptions(headers={"Authorization": "x"})), "invalid_header"),
        (changed(options=ProviderOptions(headers={"x-a": "b\r\nx-c: d"})), "invalid_header"),
        (changed(options=ProviderOptions(headers={"bad name": "b"})), "invalid_header"),
        (changed(options=ProviderOptions(probe_interval_s=0)), "invalid_options"),
        (ProviderSpec(slug="local", vendor="local", base_url="http://elsewhere"), "invalid_base_url"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(spec, code):
    given(PROVIDER).when(AddProvider("p", spec)).then_refused(code)
