"""Files of deepagents as artifacts of a workspace.

Errors are in the results, as deepagents wants them: a model reads them, and its run continues.
"""

from __future__ import annotations

import base64
from itertools import accumulate

from deepagents.backends import protocol, utils
from deepagents.backends.protocol import EditResult, GlobResult, GrepResult, LsResult, ReadResult

from coherence import Conflict, UnknownArtifact, View, Workspace
from coherence.context.callers import Callers, Holder, answering, awaited
from coherence.context.reader import Dates, OnUnread
from coherence.context.rereads import Noted, Rereads, note
from coherence.context.sight import Lines
from coherence.context.values import name_of_path, path_of, prefix_of_path, text_if_utf8
from coherence_deepagents.runs import running
from message_passing.errors import ToolkitError

#: The largest part of a text that one read returns.  deepagents would cut a larger one, so that a
#: model were shown less than it is taken to have seen.
READ_CHARS_MAX = 79_000


class CoherentBackend(Holder, protocol.BackendProtocol):
    """Files in a workspace, which agents of other frameworks and other processes share.

    `over` is a workspace, or the URL of one.  A ``write_file`` derives from the version that the
    running agent was shown whole, in one window or several; from its own last version; or from
    nothing.  If others have changed the file since, the agent is told what they changed.  An
    ``edit_file`` applies to the current text.  With ``unread="replace"`` a write replaces a file
    that its agent has not read, as in any backend.  Searches and listings show no agent a file.

    `agent` is the name of callers for which LangGraph has none, so that they are known after a
    restart.  Raises `BadArgument`, and as `Workspace` does.
    """

    def __init__(
        self, over: Workspace | str, *, unread: OnUnread = "raise", agent: str = ""
    ) -> None:
        super().__init__(over)
        self._callers, self._agent = Callers(self.workspace, unread, Rereads), agent
        self._dates = Dates(self.workspace)

    @property
    def run(self) -> Rereads:
        """The run that calls.  Raises as `Desk` does."""
        return running(self._callers, self._agent)

    @answering(LsResult)
    def ls(self, path: str) -> LsResult:
        prefix, found = prefix_of_path(path), dict[str, protocol.FileInfo]()
        for view in self.run.files.look_all(prefix).values():
            head, below, _ = view.ref.name.removeprefix(prefix).partition("/")
            at = path_of(prefix + head) + below
            found[at] = {"path": at, "is_dir": True, "size": 0, "modified_at": ""}
            if not below:
                found[at] = self._info(view)
        return LsResult(entries=[found[at] for at in sorted(found)])

    @answering(ReadResult)
    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        view = self.run.files.look(name_of_path(file_path))
        data, lines = self._data(view), None
        kind = utils._get_backend_read_file_type(file_path)
        if not isinstance(view.content, str) or kind != "text":
            return self._shown(view, None, ReadResult(file_data=data))
        window = utils.slice_read_response(data, offset, limit)
        text = window.file_data["content"] if window.file_data else ""
        if len(text) > READ_CHARS_MAX:
            sizes = accumulate(map(len, text.splitlines(keepends=True)))
            fitting = sum(size <= READ_CHARS_MAX for size in sizes)
            window = utils.slice_read_response(data, offset, max(fitting, 1))
            if not fitting:  # deepagents shows a part of this line
                return window
        if window.start_line and window.end_line and window.total_lines:
            lines = Lines(window.start_line, window.end_line, window.total_lines)
        elif window.error or window.no_lines_requested:
            return window
        return self._shown(view, lines, window)

    @answering(GrepResult)
    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        files = {at: _plain(view) for at, view in self._below(path).items()}
        return utils.grep_matches_from_files(files, pattern, path, glob, max_count=max_count)

    @answering(GlobResult)
    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        views = self._below(path)
        files = {at: self._data(view) for at, view in views.items()}
        try:
            found = utils._glob_search_files(files, pattern, path).split("\n")
        except utils.InvalidGlobPatternError as error:
            return GlobResult(error=str(error))
        return GlobResult(matches=[self._info(views[at]) for at in found if at in views])

    def write(self, file_path: str, content: str) -> protocol.WriteResult:
        return self._put(file_path, content)

    @answering(EditResult, "Error: ")
    def edit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        made: str | tuple[str, int] = ""

        def replaced(text: str) -> str:
            nonlocal made
            made = utils.perform_string_replacement(text, old_string, new_string, replace_all)
            return text if isinstance(made, str) else made[0]

        view = self.run.files.replace(name_of_path(file_path), replaced)
        if isinstance(made, str):
            return EditResult(error=made)
        note(Noted(view.ref, text=new_string, replaced=True))
        return EditResult(path=file_path, occurrences=made[1])

    @answering(protocol.DeleteResult, "Error: ")
    def delete(self, file_path: str) -> protocol.DeleteResult:
        if not self.run.files.delete_all(name_of_path(file_path.rstrip("/"))):
            raise UnknownArtifact(f"there is nothing at {file_path}")
        return protocol.DeleteResult(path=file_path)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[protocol.FileUploadResponse]:
        made = [(path, self._put(path, text_if_utf8(data))) for path, data in files]
        return [protocol.FileUploadResponse(path=path, error=each.error) for path, each in made]

    def download_files(self, paths: list[str]) -> list[protocol.FileDownloadResponse]:
        return [self._downloaded(path) for path in paths]

    als, aread, agrep, aglob = awaited(ls), awaited(read), awaited(grep), awaited(glob)
    awrite, aedit, adelete = awaited(write), awaited(edit), awaited(delete)
    aupload_files, adownload_files = awaited(upload_files), awaited(download_files)

    @answering(protocol.WriteResult, "Error: ")
    def _put(self, path: str, content: str | bytes) -> protocol.WriteResult:
        ref = self.run.files.write(name_of_path(path), content)
        note(Noted(ref, text=content if isinstance(content, str) else ""))
        return protocol.WriteResult(path=path)

    def _downloaded(self, path: str) -> protocol.FileDownloadResponse:
        try:
            content = self.run.files.look(name_of_path(path)).content
        except ToolkitError as error:
            gone = isinstance(error, UnknownArtifact)
            why = protocol.FILE_NOT_FOUND if gone else self.why(error, path)
            return protocol.FileDownloadResponse(path=path, error=why)
        data = content if isinstance(content, bytes) else content.encode()
        return protocol.FileDownloadResponse(path=path, content=data)

    def _below(self, path: str | None) -> dict[str, View]:
        """The files at `path`, below it, and others whose names begin so."""
        views = self.run.files.look_all(prefix_of_path(path or "/").rstrip("/"))
        return {path_of(name): view for name, view in views.items()}

    def _shown(self, view: View, lines: Lines | None, result: ReadResult) -> ReadResult:
        is_text = isinstance(view.content, str)
        text = result.file_data["content"] if result.file_data and is_text else ""
        if not note(Noted(view.ref, text, view, lines)):
            self.run.files.shown(view, lines, text)
        return result

    def _data(self, view: View) -> protocol.FileData:
        data, dates = _plain(view), self._dates.of(view.ref.name, view.version)
        data["created_at"], data["modified_at"] = (date.isoformat() for date in dates)
        return data

    def _info(self, view: View) -> protocol.FileInfo:
        changed = self._dates.of(view.ref.name, view.version)[1].isoformat()
        at, size = path_of(view.ref.name), view.size_bytes
        return {"path": at, "is_dir": False, "size": size, "modified_at": changed}

    def why(self, error: ToolkitError, path: str) -> str:
        if isinstance(error, UnknownArtifact):
            return f"File '{path}' not found"
        if isinstance(error, Conflict):  # one of the files of a folder
            path = path_of(error.current.name)
        try:
            return self.run.files.refusal(error, path)
        except ToolkitError:
            return str(error)


def _plain(view: View) -> protocol.FileData:
    if isinstance(view.content, str):
        return {"content": view.content, "encoding": "utf-8"}
    return {"content": base64.standard_b64encode(view.content).decode(), "encoding": "base64"}
