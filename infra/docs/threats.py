"""docs/THREAT_MODEL.md: assets, boundaries, attackers, what stops each, and the test that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_S: Final = "tests/service"
_ISOLATION: Final = f"{_S}/database/test_isolation.py"
_TOKENS: Final = f"{_S}/auth/tokens/test_tokens.py"
_SAML: Final = f"{_S}/auth/saml"
_MUTATIONS: Final = "tests/infra/mutations/test_mutations.py"


@dataclass(frozen=True, slots=True)
class Stopped:
    """One way of an attacker.

    Attributes:
        way: What is tried.
        by: What stops it.
        tests: That show it.
    """

    way: str
    by: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attacker:
    """Who, what they have, what they try, and what is left.

    Attributes:
        name: Heading.
        has: What they begin with.
        ways: What they try.
        left: What nothing here stops, and whose it is.
    """

    name: str
    has: str
    ways: tuple[Stopped, ...]
    left: tuple[str, ...]


ASSETS: Final[Mapping[str, str]] = {
    "Records of patients": "rows of tenants in RDS; documents in S3. What everything else is for",
    "Who belongs to which tenant": "the claim in a token; Cognito's immutable attribute, or the stage's table of "
    "providers",
    "Keys": "KMS (never leave it), client certificate and tunnel key (sealed on Railway), the session key "
    "(Secrets Manager)",
    "The audit trail": "CloudTrail, flow logs, sign-ins, database log, the service's lines: without it no one "
    "can say what happened",
    "The means of deployment": "the repository, its workflows, GitHub's identity towards AWS, Railway's token",
}

BOUNDARIES: Final[Mapping[str, str]] = {
    "internet → Railway's edge → service": "TLS ends at Railway; the service takes a request for hostile until "
    "the gate has admitted it",
    "service → identity provider": "TLS; keys, metadata and tokens are fetched with bounds and believed only as "
    "far as their signature goes",
    "service → tunnel → RDS": "the tunnel carries ciphertext: TLS with the instance's own name is verified from "
    "end to end",
    "service → AWS": "credentials of an hour from a certificate; a policy of five statements",
    "tenant → tenant": "row security that is forced, under a login that cannot leave it; the bucket's prefix in "
    "the service",
    "workflow → AWS, Railway": "OIDC for the named environment; a second person before a deployment",
}

ATTACKERS: Final = (
    Attacker(
        "A stranger",
        "the public address, and any bytes",
        (
            Stopped(
                "calls a route without a token",
                "routes are protected unless they say otherwise; an application with an unguarded one does not start",
                (
                    f"{_S}/http/test_request.py::test_nobody_enters_without_a_token",
                    f"{_S}/http/test_request.py::test_a_route_that_no_gate_guards_keeps_the_application_from_starting",
                ),
            ),
            Stopped(
                "forges a token, or confuses its algorithm or key",
                "algorithm list, key type, exact claims; see docs/SUPPLY_CHAIN.md for the library's own holes",
                (f"{_TOKENS}::test_forgeries", f"{_TOKENS}::test_wrong_headers", f"{_TOKENS}::test_wrong_claims"),
            ),
            Stopped(
                "wraps or rewrites a SAML response",
                "a screen before the library, and rules after it",
                (f"{_SAML}/test_attacks.py::test_no_variant_of_a_good_response_is_accepted",),
            ),
            Stopped(
                "makes one request cost much",
                "bounds on size, time and work before anything is parsed",
                (
                    f"{_SAML}/test_work.py::test_nothing_that_is_admitted_costs_more_than_is_promised",
                    f"{_TOKENS}::test_malformed_tokens_cost_no_fetch",
                ),
            ),
            Stopped(
                "steals or plants a sign-in of another browser",
                "state is bound to the browser, codes are for one use",
                (f"{_S}/auth/oidc/test_relying_party.py::test_an_id_token_that_breaks_a_rule_is_refused",),
            ),
            Stopped(
                "reads something out of errors or logs",
                "one error shape with texts of ours; the log has ids and no content",
                (f"{_S}/test_log.py::test_nothing_of_what_a_caller_sent_reaches_the_log",),
            ),
            Stopped(
                "reaches the database from outside",
                "no public address, no way into its subnets, one named peer",
                ("tests/infra/test_stacks.py::test_the_database_is_where_nothing_leads_to_but_the_router",),
            ),
        ),
        (
            "Floods: Railway's edge and its limits; rate limiting is a later feature.",
            "Passwords that people use elsewhere: the second factor is required, and threat protection watches.",
        ),
    ),
    Attacker(
        "A user of another tenant",
        "a good token of tenant A, and the wish to see tenant B",
        (
            Stopped(
                "asks for rows of B by id, search, insert, update or foreign key",
                "row security, forced; the tenant is set first in every transaction",
                (
                    f"{_ISOLATION}::test_a_tenant_sees_its_own_rows_and_no_others",
                    f"{_ISOLATION}::test_every_table_with_a_tenant_is_isolated_even_from_its_owner",
                    f"{_ISOLATION}::test_the_application_login_cannot_get_round_the_policy",
                ),
            ),
            Stopped(
                "waits for a connection that still has B's tenant",
                "the setting ends with its transaction",
                (f"{_ISOLATION}::test_after_an_error_in_mid_transaction_the_next_request_sees_its_own_tenant",),
            ),
            Stopped(
                "writes the own tenant in the user pool",
                "the attribute is immutable, and no client may write it",
                (
                    "tests/infra/test_stacks.py::test_neither_a_user_nor_a_provider_can_write_a_tenant",
                    "tests/infra/test_deploy.py::test_a_user_with_a_tenant_has_it_in_both_tokens_and_cannot_change_it",
                ),
            ),
            Stopped(
                "signs out, and goes on with the old token elsewhere",
                "ended sessions reach every replica",
                (f"{_SAML}/test_flow.py::test_a_logout_reaches_every_replica",),
            ),
        ),
        (
            "SQL that a feature puts together from text: row security does not stop the same login from setting "
            "another "
            "tenant. Review, and SQLAlchemy's parameters.",
            "Documents: the bucket's policy admits the service to every tenant's prefix; which one, the feature "
            "decides.",
            "What a user of the same tenant may see: roles are a later feature.",
        ),
    ),
    Attacker(
        "A provider gone bad",
        "the signing key of one organisation's identity provider",
        (
            Stopped(
                "vouches for a user of another tenant",
                "an issuer speaks for the tenants it is bound to, and no others",
                (
                    f"{_TOKENS}::test_an_issuer_may_speak_for_its_own_tenants_only",
                    f"{_SAML}/test_flow.py::test_neither_tenants_provider_can_speak_for_the_other",
                ),
            ),
            Stopped(
                "puts a tenant into a claim or an attribute",
                "behind Cognito, the tenant comes from the stage; an attribute never widens what a binding lists",
                (
                    ""
                    "tests/infra/test_stacks.py::test_a_federated_provider_brings_an_address_and_its_tenant_comes_from_us",
                    f"{_SAML}/test_rules.py::test_an_attribute_never_widens_what_the_binding_lists",
                ),
            ),
            Stopped(
                "publishes keys or metadata that make us work, or none at all",
                "bounded fetches and sets; known keys serve through an outage until a hard age",
                (
                    f"{_S}/auth/tokens/test_keys.py::test_known_keys_serve_through_an_outage_until_the_hard_age",
                    f"{_SAML}/test_attacks.py::test_a_message_that_would_make_a_library_work_is_refused_at_once",
                ),
            ),
        ),
        ("Everything that its own tenant's people may do: it says who they are.",),
    ),
    Attacker(
        "A stolen service credential",
        "what the running service has: an hour of AWS, the database login, the session key",
        (
            Stopped(
                "reads other secrets, makes users, changes policies, deletes documents, takes traces away",
                "a policy of named actions on named resources; what no role may ever do is a table of the gate",
                (
                    "tests/infra/test_iam.py::test_the_service_may_not",
                    f"{_MUTATIONS}::test_the_gates_see_what_breaks_a_promise",
                ),
            ),
            Stopped(
                "uses the data key by itself",
                "through S3 and Secrets Manager only",
                ("tests/infra/test_stacks.py::test_the_policy_of_the_service_names_what_it_is_for",),
            ),
            Stopped(
                "takes the role with another certificate, or keeps it",
                "our authority and the stage's name in the certificate, sessions of an hour",
                ("tests/infra/test_stacks.py::test_the_role_opens_for_our_authority_and_our_name_alone",),
            ),
            Stopped(
                "goes on with a password that was changed",
                "rotation under load, without an outage",
                (f"{_S}/database/test_rotation.py::test_a_rotation_under_load_fails_no_request",),
            ),
            Stopped(
                "finds the credentials in the environment, a template or a log",
                "production takes names of secrets, never values",
                (
                    f"{_S}/settings/test_settings.py::test_production_refuses_and_names_the_variable",
                    "tests/infra/test_stacks.py::test_templates_hold_no_secret_and_outputs_only_names",
                ),
            ),
        ),
        (
            "For as long as it lasts, it can read every tenant's rows and documents, as the service can: the "
            "login sets the "
            "tenant itself. Alarms on refused keys ring; documents are recorded one by one. With a key "
            "of its own for each tenant (tenant_keys), each use names one, and one tenant's can be switched off.",
        ),
    ),
    Attacker(
        "A supplier",
        "a package, an image, an action, or the platform itself",
        (
            Stopped(
                "publishes a bad release",
                "lock files with hashes, base images by digest, seven days of waiting, actions by commit",
                (
                    "tests/image/test_files.py::test_every_base_image_is_named_by_its_digest",
                    "tests/docs/test_supply_chain.py::test_no_locked_package_is_below_the_floor_of_an_advisory",
                    "tests/infra/test_workflows.py::test_no_rule_has_anything_to_say_of_the_workflows",
                ),
            ),
            Stopped(
                "leaves a known fault in what we ship",
                "floors of advisories; scans of the image for what Debian has mended, each week and before a release",
                (
                    "tests/image/test_scan.py::test_a_package_without_its_security_update_is_named",
                    "tests/infra/test_workflows.py::test_a_release_and_the_weekly_look_scan_the_image_that_they_built",
                ),
            ),
            Stopped(
                "reads what passes the tunnel",
                "it carries ciphertext; what is not the database is refused",
                (f"{_S}/database/test_proxy.py::test_what_is_not_the_database_is_refused_as_an_outage",),
            ),
            Stopped(
                "brings more into the image than is locked",
                "the image has exactly the locked packages, and no tool that deploys",
                ("tests/image/test_files.py::test_the_builder_is_sent_nothing_that_is_not_named",),
            ),
        ),
        (
            "Railway runs the process and could read its memory: the agreement, and its removal of staff access.",
            "AWS could read everything: the agreement, and its audits.",
            "A bad release that stays unnoticed for longer than the waiting time.",
        ),
    ),
    Attacker(
        "An insider",
        "rights of an operator or a developer",
        (
            Stopped(
                "weakens the templates, by intent or by mistake",
                "gates in every synthesis, judged by what they let through",
                (
                    f"{_MUTATIONS}::test_the_gates_see_what_breaks_a_promise",
                    "tests/infra/test_checks.py::test_acknowledgements_come_from_the_register_alone",
                ),
            ),
            Stopped(
                "stops the audit trail, deletes copies, schedules a key's end",
                "copies cannot be deleted early, keys wait for 30 days, and the alarms ring",
                (
                    f"{_MUTATIONS}::test_what_once_passed_every_gate_is_seen",
                    "tests/infra/test_stacks.py::test_alarms_reach_somebody",
                ),
            ),
            Stopped(
                "runs code of a pull request with our identity",
                "no secrets for forks, permissions by job, judged by a tool",
                ("tests/infra/test_workflows.py::test_what_would_open_them_is_found",),
            ),
            Stopped(
                "deploys production without the agreement",
                "Railway is asked for it first",
                (
                    "tests/railway/test_deploy.py::"
                    "test_production_is_not_applied_without_the_agreement_whatever_step_is_run",
                ),
            ),
        ),
        (
            "An administrator of the AWS account can undo all of it: an organisation's trail in another account, and "
            "service control policies, are the customer's.",
            "The master login of the database is outside row security: its secret is read by migrations and by "
            "people, and "
            "each read is in the trail.",
        ),
    ),
)


def every_test() -> list[str]:
    """Node ids of all tests that the page names."""
    return [test for attacker in ATTACKERS for way in attacker.ways for test in way.tests]


def page() -> str:
    """docs/THREAT_MODEL.md."""
    parts = [_HEAD, "\n## Assets\n\n| what | where, and why |\n| --- | --- |\n"]
    parts += [f"| {name} | {text} |\n" for name, text in ASSETS.items()]
    parts.append(f"\n## Boundaries\n\n{_PICTURE}\n| boundary | what holds there |\n| --- | --- |\n")
    parts += [f"| {name} | {text} |\n" for name, text in BOUNDARIES.items()]
    for attacker in ATTACKERS:
        parts.append(
            f"\n## {attacker.name}\n\nHas {attacker.has}.\n\n| tries | stopped by | shown by |\n| --- | --- | --- |\n"
        )
        for way in attacker.ways:
            parts.append(f"| {way.way} | {way.by} | {'<br>'.join(f'`{test}`' for test in way.tests)} |\n")
        parts.append("\n**Left:**\n\n" + "".join(f"- {line}\n" for line in attacker.left))
    return "".join(parts)


_HEAD: Final = """# Threat model

Who could want what, what stops them, which test shows it, and what is left. Every test that is named exists, or the
build fails. This page is generated from `infra/docs/threats.py`: `uv run signalbox docs`. How to attack it on purpose:
[PENETRATION_TEST.md](PENETRATION_TEST.md).
"""
_PICTURE: Final = """```mermaid
flowchart LR
  stranger((internet)) -->|TLS| edge[Railway edge]
  subgraph railway [Railway]
    edge --> service[service]
    service --> forwarder[tunnel]
  end
  service -->|TLS, signed| idp[identity providers]
  service -->|one hour, by certificate| aws[KMS, Secrets Manager, S3]
  forwarder -->|ciphertext| router[subnet router]
  subgraph vpc [VPC]
    router --> database[(RDS, row security)]
  end
  workflow[GitHub workflow] -->|OIDC| aws
```
"""
