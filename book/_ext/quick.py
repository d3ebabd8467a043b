"""Sphinx extension: the same site, sooner. Two pages are written at once; trees are read once."""

import functools
import os

from pybtex.plugin import find_plugin, register_plugin
from sphinx.domains.std import StandardDomain
from sphinx.search.en import SearchEnglish


class ReadOnce:
    """An environment of Sphinx whose trees, which may be looked at but not changed, stay in memory."""

    def __init__(self, env):
        self.env, self.get_doctree = env, functools.cache(env.get_doctree)

    def __getattr__(self, name):
        return getattr(self.env, name)


class Links(StandardDomain):
    """The domain of {ref} and {numref}. Sphinx reads the whole page that a {numref} leads to, each time."""

    def resolve_xref(self, env, *link):
        if getattr(self, "looked_at", None) is None:
            self.looked_at = ReadOnce(env)
        return super().resolve_xref(self.looked_at, *link)


class English(SearchEnglish):
    """The stems of the search index. Sphinx forgets them after each page."""

    def __init__(self, options):
        super().__init__(options)
        self.stem = functools.cache(super().stem)


def write_in_parallel(app, env):
    """Pages are read one by one, since not all extensions of Jupyter Book say that they can do otherwise."""
    app.parallel = min(2, os.cpu_count() or 1)


def setup(app):
    app.add_domain(Links, override=True)
    app.add_search_language(English)
    app.connect("env-check-consistency", write_in_parallel)
    # each citation asks all installed packages for this one
    plaintext = find_plugin("pybtex.backends", "plaintext")
    register_plugin("pybtex.backends", "plaintext", plaintext, force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
