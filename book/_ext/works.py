"""Sphinx extension: a work in the bibliography has names and year as label, and the pages that cite it."""

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.transforms.post_transforms import SphinxPostTransform


class NamesAndYear(BaseLabelStyle):
    """Labels such as "Gulrajani et al., 2017"."""

    def format_labels(self, entries):
        for entry in entries:
            names = [" ".join(p.prelast_names + p.last_names).strip("{}") for p in entry.persons["author"]]
            shown = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            yield f"{shown}, {entry.fields.get('year', 'n.d.')}"


class ByName(Style):
    """The style `unsrt`, sorted by name and year."""

    default_label_style = NamesAndYear
    default_sorting_style = "author_year_title"


class CitedIn(SphinxPostTransform):
    """Behind each work, links to the pages that cite it."""

    default_priority = 6  # right after the works are there

    def run(self, **_):
        domain = self.env.get_domain("cite")
        keys = {citation.citation_id: citation.key for citation in domain.citations}
        for work in self.document.findall(nodes.citation):
            key = next((keys[id_] for id_ in work["ids"] if id_ in keys), None)
            pages = sorted(
                {ref.docname for ref in domain.citation_refs if key in {t.key for t in ref.targets}}
            )
            line = nodes.paragraph("", "Cited in: ", classes=["cited-in"])
            for number, page in enumerate(pages):
                line += nodes.Text(", " if number else "")
                uri = self.app.builder.get_relative_uri(self.env.docname, page)
                line += nodes.reference("", self.env.titles[page].astext(), refuri=uri, internal=True)
            if pages:
                work += line


def setup(app):
    register_plugin("pybtex.style.formatting", "byname", ByName)
    app.add_post_transform(CitedIn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
