"""XML from strangers: nothing that it refers to is ever read or fetched."""

from typing import Any

from xturing.core.extras import require


def parse_xml(data: bytes) -> Any:
    """Return the root of an XML file."""
    etree = require("lxml.etree", package="xturing-data", extra="documents")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)
