"""The one door for text, JSON, YAML and XML of people's files: bounded in size, depth and repetition.

What cannot be read raises ``OSError`` or ``ValueError`` with a sentence and without the file's name,
which the caller knows; :func:`read_json`, :func:`read_yaml` and the like say it themselves.
"""

from densekd.parsers.files import NotAFileError, read_bytes
from densekd.parsers.inflate import inflate
from densekd.parsers.json_files import load_json, parse_json, read_json
from densekd.parsers.json_records import read_records
from densekd.parsers.text import EncodingError, decode_text, load_text, whole_number
from densekd.parsers.xml_files import load_xml
from densekd.parsers.yaml_files import YamlDumper, load_yaml, parse_yaml

__all__ = [
    "EncodingError",
    "NotAFileError",
    "YamlDumper",
    "decode_text",
    "inflate",
    "load_json",
    "load_text",
    "load_xml",
    "load_yaml",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "read_records",
    "whole_number",
]
