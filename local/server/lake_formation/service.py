"""The operations of Lake Formation."""

from __future__ import annotations

from collections.abc import Callable

from local.server import hooks
from local.server.clients import service_model
from local.server.host import Denied, Host, Request, Response, ServiceError
from local.server.lake_formation.decisions import effective, is_administrator, key_of, tags_of
from local.server.lake_formation.principals import ANYBODY, is_root, plain
from local.server.lake_formation.records import Document, records_in
from local.server.validation import validate

_MOST_PER_PAGE = 100
_BY_IAM_ALONE = frozenset(
    [
        "GetDataLakeSettings",
        "PutDataLakeSettings",
        "RegisterResource",
        "DeregisterResource",
        "DescribeResource",
        "ListResources",
        "GetLFTag",
        "ListLFTags",
        "GetResourceLFTags",
        "ListPermissions",
        "GetEffectivePermissionsForPath",
    ]
)
"""Operations that need no administrator of the lake."""

_RESOURCES = ("Database", "Table", "TableWithColumns", "DataLocation", "LFTagPolicy", "LFTag", "Catalog")


class LakeFormation:
    """The local Lake Formation."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.records = records_in(host.settings.state_dir)
        self.operations: dict[str, Callable[[Document], Document]] = {
            "GetDataLakeSettings": lambda _request: {"DataLakeSettings": self.records.document["settings"]},
            "PutDataLakeSettings": self._put_settings,
            "RegisterResource": self._register,
            "DeregisterResource": self._deregister,
            "DescribeResource": lambda request: {"ResourceInfo": self._location(request["ResourceArn"])},
            "ListResources": self._list_locations,
            "CreateLFTag": self._create_tag,
            "UpdateLFTag": self._update_tag,
            "DeleteLFTag": self._delete_tag,
            "GetLFTag": lambda request: self._shown(request["TagKey"], self._values(request["TagKey"])),
            "ListLFTags": self._list_tags,
            "AddLFTagsToResource": self._tag,
            "RemoveLFTagsFromResource": self._untag,
            "GetResourceLFTags": self._tags_of_resource,
            "GrantPermissions": self._grant,
            "RevokePermissions": self._revoke,
            "BatchGrantPermissions": lambda request: self._many(self._grant, request),
            "BatchRevokePermissions": lambda request: self._many(self._revoke, request),
            "ListPermissions": self._list_permissions,
            "GetEffectivePermissionsForPath": self._effective_permissions,
        }

    def action(self, request: Request) -> str:
        """The name of the operation, which is its path."""
        return request.path.strip("/")

    def handle(self, request: Request) -> Response:
        """Serve one request, whose IAM permission has been checked."""
        name, caller = self.action(request), request.caller.arn
        if name not in _BY_IAM_ALONE and not is_root(caller) and not is_administrator(self.records.document, caller):
            raise Denied(f"Insufficient Lake Formation permission(s): {plain(caller)} is no data lake administrator")
        return Response.of_json(self.perform(name, request.json()))

    def perform(self, name: str, request: Document) -> Document:
        """Do an operation for somebody who may.

        Raises:
            ServiceError: It is unknown here, the request is not valid, or the operation cannot be done.
        """
        if name not in self.operations:
            raise ServiceError("UnknownOperationException", f"{name or 'this'} is not available on the local server")
        validate(
            service_model("lakeformation").operation_model(name).input_shape, request, code="InvalidInputException"
        )
        return self.operations[name](request)

    # -- settings and locations

    def _put_settings(self, request: Document) -> Document:
        with self.records.changing() as draft:
            draft["settings"] = {
                "DataLakeAdmins": [],
                "CreateDatabaseDefaultPermissions": [],
                "CreateTableDefaultPermissions": [],
                **request["DataLakeSettings"],
            }
        return {}

    def _register(self, request: Document) -> Document:
        arn = request["ResourceArn"]
        if "RoleArn" not in request:
            raise ServiceError("InvalidInputException", "the local server registers a location with a RoleArn only")
        self._check_role(request["RoleArn"])
        with self.records.changing() as draft:
            if arn in draft["locations"]:
                raise ServiceError("AlreadyExistsException", f"Resource is already registered: {arn}")
            draft["locations"][arn] = {"ResourceArn": arn, "RoleArn": request["RoleArn"]}
        return {}

    def _deregister(self, request: Document) -> Document:
        with self.records.changing() as draft:
            if draft["locations"].pop(request["ResourceArn"], None) is None:
                raise _not_found(f"Resource is not registered: {request['ResourceArn']}")
        return {}

    def _location(self, arn: str) -> Document:
        found: Document | None = self.records.document["locations"].get(arn)
        if found is None:
            raise _not_found(f"Resource is not registered: {arn}")
        return found

    def _list_locations(self, request: Document) -> Document:
        return _page(list(self.records.document["locations"].values()), request, "ResourceInfoList")

    # -- tags

    def _create_tag(self, request: Document) -> Document:
        with self.records.changing() as draft:
            if request["TagKey"] in draft["tags"]:
                raise ServiceError("AlreadyExistsException", f"Tag key already exists: {request['TagKey']}")
            draft["tags"][request["TagKey"]] = list(dict.fromkeys(request["TagValues"]))
        return {}

    def _update_tag(self, request: Document) -> Document:
        key, gone = request["TagKey"], set(request.get("TagValuesToDelete", []))
        with self.records.changing() as draft:
            kept = [value for value in self._values(key) if value not in gone]
            draft["tags"][key] = list(dict.fromkeys([*kept, *request.get("TagValuesToAdd", [])]))
            for tags in draft["assigned"].values():
                if tags.get(key) in gone:
                    del tags[key]
        return {}

    def _delete_tag(self, request: Document) -> Document:
        self._values(request["TagKey"])
        with self.records.changing() as draft:
            del draft["tags"][request["TagKey"]]
            for tags in draft["assigned"].values():
                tags.pop(request["TagKey"], None)
        return {}

    def _values(self, key: str) -> list[str]:
        values: list[str] | None = self.records.document["tags"].get(key)
        if values is None:
            raise _not_found(f"Tag key does not exist: {key}")
        return values

    def _list_tags(self, request: Document) -> Document:
        tags = [self._shown(key, values) for key, values in self.records.document["tags"].items()]
        return _page(tags, request, "LFTags")

    def _shown(self, key: str, values: list[str]) -> Document:
        return {"CatalogId": self._host.settings.account, "TagKey": key, "TagValues": values}

    def _tag(self, request: Document) -> Document:
        self._check_pairs(request["LFTags"])
        with self.records.changing() as draft:
            for key in self._keys(request["Resource"]):
                tags = draft["assigned"].setdefault(key, {})
                tags |= {pair["TagKey"]: pair["TagValues"][0] for pair in request["LFTags"]}
        return {"Failures": []}

    def _untag(self, request: Document) -> Document:
        with self.records.changing() as draft:
            for key in self._keys(request["Resource"]):
                for pair in request["LFTags"]:
                    draft["assigned"].get(key, {}).pop(pair["TagKey"], None)
        return {"Failures": []}

    def _check_pairs(self, pairs: list[Document]) -> None:
        for pair in pairs:
            unknown = [value for value in pair["TagValues"] if value not in self._values(pair["TagKey"])]
            if unknown:
                raise _not_found(f"Tag key {pair['TagKey']} has no value {', '.join(unknown)}")

    def _keys(self, resource: Document) -> list[str]:
        """The keys of what a resource means; it must exist."""
        kind = _kind_of(resource, ("Database", "Table", "TableWithColumns"))
        named = resource[kind]
        if kind == "Database":
            self._check_catalogue("database", "_databases", named["Name"])
            return [key_of(named["Name"])]
        database, table = named["DatabaseName"], named.get("Name", "")
        self._check_catalogue("table", "_tables", f"{database}/{table}")
        return [key_of(database, table, column) for column in named.get("ColumnNames", [""])]

    def _tags_of_resource(self, request: Document) -> Document:
        kind, records = _kind_of(request["Resource"], ("Database", "Table", "TableWithColumns")), self.records.document
        named = request["Resource"][kind]
        if kind == "Database":
            return {"LFTagOnDatabase": self._pairs(tags_of(records, named["Name"]))}
        database, table = named["DatabaseName"], named.get("Name", "")
        columns = named.get("ColumnNames") or self._tagged_columns(database, table)
        return {
            "LFTagOnDatabase": self._pairs(tags_of(records, database)),
            "LFTagsOnTable": self._pairs(tags_of(records, database, table)),
            "LFTagsOnColumns": [
                {"Name": column, "LFTags": self._pairs(tags_of(records, database, table, column))} for column in columns
            ],
        }

    def _tagged_columns(self, database: str, table: str) -> list[str]:
        start = key_of(database, table) + "/"
        assigned = self.records.document["assigned"]
        return [key.removeprefix(start) for key, tags in assigned.items() if key.startswith(start) and tags]

    def _pairs(self, tags: dict[str, str]) -> list[Document]:
        return [self._shown(key, [value]) for key, value in tags.items()]

    # -- grants

    def _grant(self, request: Document) -> Document:
        wanted = self._granted(request)
        with self.records.changing() as draft:
            found = _same(draft["grants"], wanted)
            if found is None:
                draft["grants"].append(wanted)
            else:
                for member in ("Permissions", "PermissionsWithGrantOption"):
                    found[member] = list(dict.fromkeys([*found[member], *wanted[member]]))
        return {}

    def _revoke(self, request: Document) -> Document:
        wanted = self._granted(request, checked=False)
        with self.records.changing() as draft:
            found = _same(draft["grants"], wanted)
            if found is None:
                raise ServiceError("InvalidInputException", "No permissions revoked. Grantee does not have them")
            found["Permissions"] = [each for each in found["Permissions"] if each not in wanted["Permissions"]]
            draft["grants"] = [grant for grant in draft["grants"] if grant["Permissions"]]
        return {}

    def _granted(self, request: Document, *, checked: bool = True) -> Document:
        resource = {kind: value for kind, value in request["Resource"].items() if value is not None}
        kind = _kind_of(resource, _RESOURCES)
        principal = request["Principal"]["DataLakePrincipalIdentifier"]
        if checked:
            self._check_principal(principal)
            if kind == "LFTagPolicy":
                self._check_pairs(resource["LFTagPolicy"].get("Expression", []))
            if kind == "DataLocation":
                self._location(resource["DataLocation"]["ResourceArn"])
        return {
            "Principal": {"DataLakePrincipalIdentifier": principal},
            "Resource": {kind: _without_catalogue(resource[kind])},
            "Permissions": list(request["Permissions"]),
            "PermissionsWithGrantOption": list(request.get("PermissionsWithGrantOption", [])),
        }

    def _many(self, change: Callable[[Document], Document], request: Document) -> Document:
        failures = []
        for entry in request["Entries"]:
            try:
                change(entry)
            except ServiceError as error:
                detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
                failures.append({"RequestEntry": entry, "Error": detail})
        return {"Failures": failures}

    def _list_permissions(self, request: Document) -> Document:
        found = self.records.document["grants"]
        if "Principal" in request:
            who = plain(request["Principal"]["DataLakePrincipalIdentifier"])
            found = [grant for grant in found if plain(grant["Principal"]["DataLakePrincipalIdentifier"]) == who]
        if "Resource" in request:
            kind = _kind_of(request["Resource"], _RESOURCES)
            resource = {kind: _without_catalogue(request["Resource"][kind])}
            found = [grant for grant in found if grant["Resource"] == resource]
        return _page(found, request, "PrincipalResourcePermissions")

    def _effective_permissions(self, request: Document) -> Document:
        found = [
            permission
            for table in self._tables_at(request["ResourceArn"])
            for permission in effective(
                self.records.document,
                table["DatabaseName"],
                table["Name"],
                [column["Name"] for column in table["StorageDescriptor"].get("Columns", [])],
            )
        ]
        return _page(found, request, "Permissions")

    def _tables_at(self, location_arn: str) -> list[Document]:
        """The tables that lie at a place in S3."""
        settings = self._host.settings
        tables = hooks.get("services.glue:_tables").items_scoped(settings.account, settings.region)
        place = location_arn.partition(":::")[2].rstrip("/")
        return [
            table for _, table in tables if _s3_place(table.get("StorageDescriptor", {}).get("Location", "")) == place
        ]

    # -- what must exist

    def _check_principal(self, principal: str) -> None:
        if principal == ANYBODY:
            return
        if ":role/" in principal:
            self._check_role(principal)
        elif not principal.startswith("arn:aws:iam::"):
            raise ServiceError("InvalidInputException", f"Invalid principal: {principal}; allowed are ARNs of IAM")

    def _check_role(self, arn: str) -> None:
        name = plain(arn).rpartition("/")[2]
        if hooks.get("services.iam:_roles").get_scoped(self._host.settings.account, None, name) is None:
            raise ServiceError("InvalidInputException", f"Invalid principal: there is no role {arn}")

    def _check_catalogue(self, what: str, store: str, key: str) -> None:
        settings = self._host.settings
        if hooks.get(f"services.glue:{store}").get_scoped(settings.account, settings.region, key) is None:
            raise _not_found(f"There is no {what} {key}")


def _kind_of(resource: Document, allowed: tuple[str, ...]) -> str:
    kinds = [kind for kind, value in resource.items() if value is not None]
    if len(kinds) != 1 or kinds[0] not in allowed:
        raise ServiceError("InvalidInputException", f"Resource must be one of {', '.join(allowed)}; given: {kinds}")
    return kinds[0]


def _s3_place(location: str) -> str:
    return location.partition("://")[2].rstrip("/")


def _without_catalogue(resource: Document) -> Document:
    return {name: value for name, value in resource.items() if name != "CatalogId" and value is not None}


def _same(grants: list[Document], wanted: Document) -> Document | None:
    return next(
        (grant for grant in grants if all(grant[part] == wanted[part] for part in ("Principal", "Resource"))), None
    )


def _page(items: list[Document], request: Document, member: str) -> Document:
    start = int(request.get("NextToken") or 0)
    end = start + min(request.get("MaxResults") or _MOST_PER_PAGE, _MOST_PER_PAGE)
    return {member: items[start:end], **({"NextToken": str(end)} if end < len(items) else {})}


def _not_found(message: str) -> ServiceError:
    return ServiceError("EntityNotFoundException", message)
