"""Exports of annotation tools: shapes (polygons, boxes, bitmaps) of images, drawn as masks or read as boxes."""
