"""Lake Formation in the synthesised platform: who gets what, and that nothing runs before its grants."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.access_matrix import render_matrix
from constructs_lib.names.governance import PERSONAS, governed_tables, permission_on
from constructs_lib.names.naming import ZONES
from constructs_lib.names.workload_file import WorkloadFile
from gate.assembly import StackTemplate, manifests, templates
from gate.matrix import DOCUMENTED, PAGE, shown_workload
from gate.wildcards import as_list, as_text
from stacks.config import PlatformConfig, project_context
from stacks.platform import build_platform, read_workloads

WORKLOADS = read_workloads()
STAGES = [stage.name for stage in PlatformConfig.parse(project_context()["stages"]).stages]
LAKE_FORMATION = "AWS::LakeFormation::"
PLACES = (*ZONES, "datasets")
"""What Lake Formation hands out data of: the zones, and the index of datasets."""

Node = tuple[str, str]


class Platform:
    """Every stack of the platform as one graph: a node is a resource, an edge leads to what must be there before."""

    def __init__(self, folder: Path) -> None:
        self.stacks = {stack.stack: stack for stack in templates(folder)}
        self.before: dict[Node, set[Node]] = defaultdict(set)
        for name, stack in self.stacks.items():
            for logical_id, resource in stack.resources.items():
                self.before[name, logical_id] |= set(self._references(stack, resource))
        for earlier, later in self._stack_order(folder):
            for logical_id in self.stacks[later].resources:
                self.before[later, logical_id] |= {(earlier, each) for each in self.stacks[earlier].resources}

    def _references(self, stack: StackTemplate, value: Any) -> Iterator[Node]:
        if isinstance(value, list):
            for item in value:
                yield from self._references(stack, item)
        if not isinstance(value, dict):
            return
        names = [*as_list(value.get("DependsOn", [])), value.get("Ref"), as_list(value.get("Fn::GetAtt", [None]))[0]]
        names += re.findall(r"\$\{(\w+)[.}]", json.dumps(value.get("Fn::Sub", "")))
        yield from ((stack.stack, name) for name in names if isinstance(name, str) and name in stack.resources)
        if "Fn::GetStackOutput" in value:  # an output is there when its whole stack is
            other = value["Fn::GetStackOutput"]["StackName"]
            yield from ((other, logical_id) for logical_id in self.stacks[other].resources)
        for item in value.values():
            yield from self._references(stack, item)

    def _stack_order(self, folder: Path) -> Iterator[tuple[str, str]]:
        for _, manifest in manifests(folder):
            artifacts = manifest["artifacts"]
            names = {
                key: each["properties"].get("stackName", key)
                for key, each in artifacts.items()
                if each["type"] == "aws:cloudformation:stack"
            }
            for key, name in names.items():
                for other in artifacts[key].get("dependencies", []):
                    if other in names:
                        yield names[other], name

    def ancestors(self, node: Node) -> set[Node]:
        """All that must be there before a resource is made."""
        seen: set[Node] = set()
        waiting = [node]
        while waiting:
            for each in self.before[waiting.pop()] - seen:
                seen.add(each)
                waiting.append(each)
        return seen

    def of_type(self, *types: str, stage: str = "") -> list[Node]:
        """The resources of these types in a stage's stacks, or in all."""
        return [
            (name, logical_id)
            for name, stack in self.stacks.items()
            if name.startswith(f"{stage}-" if stage else "")
            for logical_id in stack.of_type(*types)
        ]

    def properties(self, node: Node) -> dict[str, Any]:
        properties: dict[str, Any] = self.stacks[node[0]].resources[node[1]]["Properties"]
        return properties

    def grants(self, stage: str) -> list[tuple[Node, dict[str, Any]]]:
        return [
            (node, self.properties(node)) for node in self.of_type(f"{LAKE_FORMATION}PrincipalPermissions", stage=stage)
        ]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("synthesis") / "cdk.out"
    app = App(context=project_context(), outdir=str(folder))
    build_platform(app, PlatformConfig.read(app), WORKLOADS)
    app.synth()
    return Platform(folder)


# Order


def test_settings_come_before_locations_before_tags_before_grants_before_what_runs(platform: Platform) -> None:
    (settings,) = platform.of_type(f"{LAKE_FORMATION}DataLakeSettings")
    keys = set(platform.of_type(f"{LAKE_FORMATION}Tag"))
    assert len(keys) == 3
    assert all(settings in platform.ancestors(key) for key in keys)
    for stage in STAGES:
        databases = platform.of_type("AWS::Glue::Database", stage=stage)
        locations = set(platform.of_type(f"{LAKE_FORMATION}Resource", stage=stage))
        assert len(databases) == len(ZONES)
        assert len(locations) == len(PLACES)
        assert all({settings, *keys} <= platform.ancestors(each) for each in [*databases, *locations])
        tags = set(platform.of_type(f"{LAKE_FORMATION}TagAssociation", stage=stage))
        on_databases = {tag for tag in tags if "Database" in platform.properties(tag)["Resource"]}
        assert len(on_databases) == len(ZONES)
        assert all(locations & platform.ancestors(tag) for tag in on_databases)
        on_tables = tags - on_databases
        assert all(locations | on_databases <= platform.ancestors(tag) for tag in on_tables)
        by_tags = [node for node, grant in platform.grants(stage) if "LFTagPolicy" in grant["Resource"]]
        assert all(on_databases <= platform.ancestors(grant) for grant in by_tags)


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_that_touches_tables_runs_before_its_grants(platform: Platform, stage: str) -> None:
    running = platform.of_type("AWS::Glue::Job", "AWS::Glue::Crawler", stage=stage)
    running += [
        node
        for node in platform.of_type("AWS::StepFunctions::StateMachine", stage=stage)
        if platform.properties(node)["StateMachineName"].endswith("-data")
    ]
    assert len(running) == 3 * len(WORKLOADS)
    tags = set(platform.of_type(f"{LAKE_FORMATION}TagAssociation", stage=stage))
    for node in running:
        before = platform.ancestors(node)
        properties = platform.properties(node)
        role = properties.get("Role", properties.get("RoleArn"))
        own = {
            grant
            for grant, each in platform.grants(stage)
            if grant[0] == node[0] and each["Principal"]["DataLakePrincipalIdentifier"] == role
        }
        assert len(own) >= 2, node
        assert own <= before, node
        others = {tag for tag in tags if tag[0] != node[0] and tag[0].endswith("Workload")}
        assert tags - others <= before, node


@pytest.mark.parametrize("stage", STAGES)
def test_tables_wait_for_the_right_to_point_at_their_location(platform: Platform, stage: str) -> None:
    administrator = {
        grant
        for grant, each in platform.grants(stage)
        if "DataLocation" in each["Resource"]
        and "Fn::GetStackOutput" in each["Principal"]["DataLakePrincipalIdentifier"]
    }
    assert len(administrator) == len(PLACES)
    assert all(
        administrator <= platform.ancestors(table) for table in platform.of_type("AWS::Glue::Table", stage=stage)
    )


# Settings


def test_administrators_are_added_and_iam_alone_opens_nothing_new(platform: Platform) -> None:
    (node,) = platform.of_type(f"{LAKE_FORMATION}DataLakeSettings")
    settings = platform.properties(node)
    assert settings["MutationType"] == "APPEND"
    assert settings["CreateDatabaseDefaultPermissions"] == settings["CreateTableDefaultPermissions"] == []
    (administrator,) = settings["Admins"]
    assert "cfn-exec-role" in as_text(administrator["DataLakePrincipalIdentifier"])
    assert platform.stacks[node[0]].resources[node[1]]["DeletionPolicy"] == "Retain"
    for database in platform.of_type("AWS::Glue::Database"):
        assert platform.properties(database)["DatabaseInput"]["CreateTableDefaultPermissions"] == []


def test_nobody_gets_anything_through_iam_allowed_principals(platform: Platform) -> None:
    assert [stack for stack, each in platform.stacks.items() if "IAM_ALLOWED_PRINCIPALS" in each.path.read_text()] == []


def test_each_account_names_the_domains_of_its_own_stages_only(tmp_path: Path) -> None:
    place = {"region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
    here, there = {**place, "account": "111122223333"}, {**place, "account": "444455556666"}
    app = App(context=project_context(), outdir=str(tmp_path / "cdk.out"))
    build_platform(app, PlatformConfig.parse({"dev": here, "test": here, "prod": there}), WORKLOADS)
    app.synth()
    templates = [json.loads(path.read_text()) for path in (tmp_path / "cdk.out").glob("Account*.template.json")]
    domains = [
        each["Properties"]["TagValues"]
        for template in templates
        for each in template["Resources"].values()
        if each["Type"] == f"{LAKE_FORMATION}Tag" and each["Properties"]["TagKey"] == "domain"
    ]
    names = [workload.name.replace("_", "-") for workload in WORKLOADS]

    def of(*stages: str) -> list[str]:
        return sorted([*stages, *(f"{stage}-{name}" for stage in stages for name in names)])

    assert "flight-delays" in names
    assert sorted(domains) == sorted([of("dev", "test"), of("prod")])


# Who may see what


def tags_in(platform: Platform, stage: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Database, database and table, or database, table and column → tags, as the templates assign them."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for node in platform.of_type(f"{LAKE_FORMATION}TagAssociation", stage=stage):
        properties = platform.properties(node)
        ((kind, resource),) = properties["Resource"].items()
        if kind == "Database":
            keys: list[tuple[str, ...]] = [(resource["Name"],)]
        else:
            columns = resource.get("ColumnNames", [None])
            keys = [
                tuple(part for part in (resource["DatabaseName"], resource["Name"], column) if part is not None)
                for column in columns
            ]
        for key in keys:
            found.setdefault(key, {}).update({pair["TagKey"]: pair["TagValues"][0] for pair in properties["LFTags"]})
    return found


def permissions_in(
    platform: Platform, stage: str, principal: Any, tags: dict[tuple[str, ...], dict[str, str]], path: tuple[str, ...]
) -> set[str]:
    """What the templates grant a principal on a column, by the tags that it inherits."""
    inherited = {key: value for depth in range(1, len(path) + 1) for key, value in tags.get(path[:depth], {}).items()}
    return {
        permission
        for _, grant in platform.grants(stage)
        if grant["Principal"]["DataLakePrincipalIdentifier"] == principal
        and grant["Resource"].get("LFTagPolicy", {}).get("ResourceType") == "TABLE"
        and all(
            inherited.get(each["TagKey"]) in each["TagValues"]
            for each in grant["Resource"]["LFTagPolicy"]["Expression"]
        )
        for permission in grant["Permissions"]
    }


def role_of(platform: Platform, stage: str, persona: str) -> Any:
    output = f"{persona.title().replace('_', '')}RoleArn"
    return platform.stacks[f"{stage}-DataLake"].content["Outputs"][output]["Value"]


@pytest.mark.parametrize("other", STAGES)
@pytest.mark.parametrize("stage", STAGES)
def test_the_templates_grant_what_the_matrix_says_and_nothing_in_other_stages(
    platform: Platform, stage: str, other: str
) -> None:
    tags = tags_in(platform, other)
    wrong = []
    for workload in WORKLOADS:
        for table in governed_tables(workload):
            for column in table.columns:
                path = (f"{other}_{table.zone}", table.name, column)
                for persona in PERSONAS:
                    said = permission_on(persona, stage, workload.name, table, column) if stage == other else ""
                    given = permissions_in(platform, stage, role_of(platform, stage, persona.name), tags, path)
                    if given != {said} - {""}:
                        wrong.append((persona.name, path, said, given))
    assert wrong == []


def test_sensitive_columns_are_for_data_engineers_alone(platform: Platform) -> None:
    tags = tags_in(platform, "dev")
    path = ("dev_validated", "flight_delays_flights", "tailnum")
    readers = [
        persona.name
        for persona in PERSONAS
        if "SELECT" in permissions_in(platform, "dev", role_of(platform, "dev", persona.name), tags, path)
    ]
    assert readers == ["data_engineer"]


def test_the_matrix_in_the_documentation_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_matrix([shown_workload(DOCUMENTED)])


def test_a_sensitive_feature_stays_sensitive() -> None:
    content = WORKLOADS[0].model_dump()
    content["sources"]["flights"]["sensitive"] = ["carrier"]
    changed = WorkloadFile.parse(content)
    sensitive = {(table.zone, table.name): table.sensitive for table in governed_tables(changed)}
    assert sensitive["curated", "flight_delays_features"] == ("carrier",)
    assert sensitive["quarantine", "flight_delays_flights"] == ("carrier", "_reasons")


def test_people_have_no_permission_on_objects_or_keys(platform: Platform) -> None:
    for stage in STAGES:
        stack = platform.stacks[f"{stage}-DataLake"]
        roles = {role_of(platform, stage, persona.name)["Fn::GetAtt"][0] for persona in PERSONAS}
        actions = {
            action
            for policy in stack.of_type("AWS::IAM::Policy").values()
            if any(role.get("Ref") in roles for role in policy["Properties"]["Roles"])
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            for action in as_list(statement["Action"])
        }
        assert {action.partition(":")[0] for action in actions} == {"athena", "glue", "lakeformation"}
        assert not {
            action for action in actions if re.search(r":(Put|Grant|Revoke|Create|Delete|Update|Register)", action)
        }


def test_roles_that_exist_are_taken_and_not_made_again(tmp_path: Path) -> None:
    given = "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/Scientist_1"
    place = {"zones": ["eu-central-1a", "eu-central-1b"], "personas": {"data_scientist": given}}
    app = App(context=project_context(), outdir=str(tmp_path / "cdk.out"))
    build_platform(app, PlatformConfig.parse({"dev": place}), WORKLOADS)
    app.synth()
    platform = Platform(tmp_path / "cdk.out")
    assert role_of(platform, "dev", "data_scientist") == given
    assert isinstance(role_of(platform, "dev", "auditor"), dict)
    granted = [each for _, each in platform.grants("dev") if each["Principal"]["DataLakePrincipalIdentifier"] == given]
    assert len(granted) == 2


def test_lake_formation_reaches_the_prefixes_of_workloads_only(platform: Platform) -> None:
    for node in platform.of_type(f"{LAKE_FORMATION}Resource"):
        role = platform.properties(node)["RoleArn"]["Fn::GetAtt"][0]
        policies = [
            policy["Properties"]["PolicyDocument"]["Statement"]
            for policy in platform.stacks[node[0]].of_type("AWS::IAM::Policy").values()
            if {"Ref": role} in policy["Properties"]["Roles"]
        ]
        objects = [
            as_text(resource)
            for statements in policies
            for statement in statements
            if "s3:GetObject" in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        ]
        assert len(objects) == len(PLACES) * len(WORKLOADS)
        assert all(re.search(r"/[a-z_]+/(index/)?\*$", resource) for resource in objects)
