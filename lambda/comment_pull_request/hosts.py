"""Comments of pull requests at GitHub, GitLab and Bitbucket: where they are, and what they look like there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from comment_pull_request.calls import Calls, HostRefused

PAGE, MOST_PAGES = 30, 100


def _bearer(token: str) -> str:
    return f"Bearer {token}"


def _basic(token: str) -> str:
    return f"Basic {base64.b64encode(token.encode()).decode()}"


@dataclass(frozen=True)
class Host:
    """How one host speaks of comments.

    Attributes:
        address: The fixed beginning of all addresses.
        repository: The path of a repository by its name.
        comments: The path of a pull request's comments below that, with the place of its ``number``.
        comment: The path of one comment below that of the repository, with the places of ``number`` and ``id``.
        page_size: The parameter that says how many comments a page has.
        values: Where the comments are in a page; empty where it is a list of them.
        text: Where the text is in a comment.
        author: Where its author is, and in which field of an account.
        update: The method that changes one.
        authorization: Makes the header of a token.
    """

    address: str
    repository: Callable[[str], str]
    comments: str
    comment: str
    page_size: str
    values: str
    text: tuple[str, ...]
    author: tuple[str, str]
    update: str
    authorization: Callable[[str], str]


HOSTS: Mapping[str, Host] = {
    # https://docs.github.com/en/rest/issues/comments
    "github": Host(
        address="https://api.github.com",
        repository=lambda name: f"/repos/{quote(name)}",
        comments="/issues/{number}/comments",
        comment="/issues/comments/{id}",
        page_size="per_page",
        values="",
        text=("body",),
        author=("user", "id"),
        update="PATCH",
        authorization=_bearer,
    ),
    # https://docs.gitlab.com/api/notes/
    "gitlab": Host(
        address="https://gitlab.com/api/v4",
        repository=lambda name: f"/projects/{quote(name, safe='')}",
        comments="/merge_requests/{number}/notes",
        comment="/merge_requests/{number}/notes/{id}",
        page_size="per_page",
        values="",
        text=("body",),
        author=("author", "id"),
        update="PUT",
        authorization=_bearer,
    ),
    # https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/
    "bitbucket": Host(
        address="https://api.bitbucket.org/2.0",
        repository=lambda name: f"/repositories/{quote(name)}",
        comments="/pullrequests/{number}/comments",
        comment="/pullrequests/{number}/comments/{id}",
        page_size="pagelen",
        values="values",
        text=("content", "raw"),
        author=("user", "uuid"),
        update="PUT",
        authorization=_basic,
    ),
}


@dataclass(frozen=True)
class Comment:
    """A comment that the token's own account has written."""

    id: int
    text: str


class Comments:
    """The comments of one pull request.

    Args:
        host: Where it is.
        calls: Asks the host.
        repository: Owner and name.
        number: Of the pull request.
    """

    def __init__(self, host: Host, calls: Calls, repository: str, number: int) -> None:
        self._host, self._calls, self._number = host, calls, number
        self._repository = host.repository(repository)
        self._path = self._repository + host.comments.format(number=number)

    def own(self) -> list[Comment]:
        """Give the comments of the token's own account, oldest first: a marker of anybody else's counts for nothing."""
        person, field = self._host.author
        account = self._calls.ask("GET", "/user")[field]
        there = [each for each in self._all() if not each.get("deleted")]  # Bitbucket goes on listing what was deleted
        mine = [each for each in there if (each.get(person) or {}).get(field) == account]
        return sorted((Comment(int(each["id"]), self._text(each)) for each in mine), key=lambda each: each.id)

    def add(self, text: str) -> None:
        """Write a new comment."""
        self._calls.ask("POST", self._path, self._body(text))

    def change(self, comment: Comment, text: str) -> None:
        """Change the text of a comment."""
        self._calls.ask(self._host.update, self._place(comment), self._body(text))

    def remove(self, comment: Comment) -> None:
        """Delete a comment; one that is gone already is all right."""
        try:
            self._calls.ask("DELETE", self._place(comment))
        except HostRefused as error:
            if error.status not in (404, 410):
                raise

    def _all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, MOST_PAGES + 1):
            answer = self._calls.ask("GET", f"{self._path}?{self._host.page_size}={PAGE}&page={page}")
            comments = answer[self._host.values] if self._host.values else answer
            found += comments
            if len(comments) < PAGE:
                return found
        raise HostRefused(f"pull request {self._number} has more than {PAGE * MOST_PAGES} comments", 200)

    def _place(self, comment: Comment) -> str:
        return self._repository + self._host.comment.format(number=self._number, id=comment.id)

    def _text(self, comment: Any) -> str:
        for step in self._host.text:
            comment = (comment or {}).get(step)
        return str(comment or "")

    def _body(self, text: str) -> dict[str, Any]:
        body: Any = text
        for step in reversed(self._host.text):
            body = {step: body}
        return dict(body)
