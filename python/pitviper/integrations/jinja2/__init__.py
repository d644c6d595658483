"""Jinja2: a span for each template that is rendered, and one for each that is compiled.

Spans: ``render {template}`` and ``compile {template}``, internal, with ``template.name``. Templates
that a template includes or extends are part of its span. The span of a template that is streamed lasts
from its first piece to its last.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "jinja2",
    distribution="jinja2",
    minimum=(2, 11),
    patches=(
        Patch("jinja2.environment:Template.render", "render"),
        Patch("jinja2.environment:Template.generate", "generate"),
        Patch("jinja2.environment:Template.render_async", "render_async", optional=True),
        Patch("jinja2.environment:Template.generate_async", "generate_async", optional=True),
        Patch("jinja2.environment:Environment.compile", "compile_template"),
    ),
)
