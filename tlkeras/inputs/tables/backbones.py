"""Backbones of tables: an FT-Transformer, new or from a model of another table."""

import os
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_int, few
from tlkeras.backbones.loaded import LoadedBackbone
from tlkeras.inputs.tables.columns import FIRST, MISSING, OTHER, Column, Columns
from tlkeras.inputs.tables.layers import CellTokens, CellTransformer, TableCells
from tlkeras.saving import load

FT_TRANSFORMER = "ft_transformer"
_HEADS, _DROPOUT = 4, 0.1
_TOKENS = "tokens"


def ft_transformer(cells: TableCells, width: int, blocks: int) -> keras.Model:
    """Returns a new FT-Transformer, from scaled cells to one vector for each row.

    Args:
        cells: The layer before it.
        width: Of tokens, a multiple of 4.
        blocks: How many there are, named `block_1` and so on.
    """
    check_int("blocks", blocks, 1)
    if check_int("width", width, _HEADS) % _HEADS:
        raise ValueError(
            f"`width` must be a multiple of {_HEADS}. Received: width={width}."
        )
    numbers = len(cells.columns.scales)
    inputs = keras.Input((sum(cells.widths),), name="cells")
    x = CellTokens(width, numbers, cells.widths[numbers:], name=_TOKENS)(inputs)
    for number in range(1, blocks + 1):
        block = CellTransformer(_HEADS, 2 * width, _DROPOUT, name=f"block_{number}")
        x = block(x)
    x = keras.layers.LayerNormalization(name="norm")(x[:, 0])
    return keras.Model(inputs, x, name=FT_TRANSFORMER)


def load_backbone(
    backbone: Any,
    columns: Columns,
    weights: Any = None,
    width: int = 64,
    blocks: int = 3,
) -> tuple[LoadedBackbone, Columns]:
    """Returns a backbone for columns, and these, with what it knows of them.

    Args:
        backbone: As in `Tables.assemble`.
        columns: As there.
        weights: As there.
        width: As there.
        blocks: As there.

    Raises:
        ValueError: If it is no backbone of tables.
    """
    if isinstance(backbone, str) and backbone == FT_TRANSFORMER:
        model = ft_transformer(TableCells(columns), width, blocks)
        return LoadedBackbone(model, FT_TRANSFORMER, None), columns
    is_path = isinstance(backbone, str | os.PathLike)
    is_file = is_path and os.fspath(backbone).endswith(".keras")
    source = load(backbone) if is_file else backbone
    its_input = getattr(getattr(source, "problem", None), "input", None)
    known = getattr(its_input, "columns", None)
    if known is None:
        raise ValueError(
            f"A backbone of tables must be {FT_TRANSFORMER!r}, a model of another "
            "table, as `tl.table_classifier` builds it, or the path of its '.keras' "
            f"file. Received: {backbone!r}."
        )
    loaded = _transferred(source.backbone, known, columns)
    columns = columns.scaled_as(known)
    if columns.texts and columns.reader.is_like(known.reader):
        # A file's columns do not hold what the model holds.
        its_texts = source.get_layer("texts").backbone
        columns = columns.read_by(replace(known.reader, backbone=its_texts))
    return loaded, columns


def _transferred(
    source: keras.Model, known: Columns, columns: Columns
) -> LoadedBackbone:
    """Returns the backbone of a model of another table, for these columns."""
    shared = set(known.names) & set(columns.names)
    if not shared:
        raise ValueError(
            "The tables have no column in common, by which a backbone could be "
            f"transferred. It knows {few(known.names)}; the data have "
            f"{few(columns.names)}. Rename those that are the same."
        )
    its_tokens = source.get_layer(_TOKENS)
    blocks = sum(isinstance(layer, CellTransformer) for layer in source.layers)
    columns = columns.scaled_as(known)
    model = ft_transformer(TableCells(columns), its_tokens.width, blocks)
    for layer in model.layers:
        if layer.weights and layer.name != _TOKENS:
            layer.set_weights(source.get_layer(layer.name).get_weights())
    _transfer_tokens(model.get_layer(_TOKENS), columns, its_tokens, known)
    return LoadedBackbone(model, FT_TRANSFORMER, None)


def _transfer_tokens(
    mine: CellTokens, columns: Columns, its: CellTokens, known: Columns
) -> None:
    """Copies what a layer knows of cells that both tables have, by their names."""
    alike = columns.reader is not None and columns.reader.is_like(known.reader)
    bias, its_bias = np.array(mine.bias), np.array(its.bias)
    bias[0] = its_bias[0]
    theirs = {name: place for place, name in enumerate(known.cell_names)}
    twins = {column.name: column for column in known}
    kernel = np.array(mine.kernel) if mine.numbers else None
    names = columns.cell_names
    owners = [columns.columns[i] for i in columns.owners]
    for place, (name, column) in enumerate(zip(names, owners, strict=True)):
        source, twin = theirs.get(name), twins.get(column.name)
        if source is None or (twin.kind, twin.scales) != (column.kind, column.scales):
            continue
        if column.kind == "text" and not alike:
            continue
        bias[1 + place] = its_bias[1 + source]
        if place < mine.numbers:
            kernel[place] = np.array(its.kernel)[source]
            continue
        embedding = mine.embeddings[place - mine.numbers]
        found = np.array(its.embeddings[source - its.numbers])
        if column.kind == "category":
            found = _names_moved(np.array(embedding), column, found, twin)
        embedding.assign(found)
    mine.bias.assign(bias)
    if kernel is not None:
        mine.kernel.assign(kernel)


def _names_moved(
    embedding: np.ndarray, column: Column, found: np.ndarray, source: Column
) -> np.ndarray:
    """Returns an embedding with the rows of names that another one has, too."""
    codes = {name: code for code, name in enumerate(source.names, FIRST)}
    embedding[[MISSING, OTHER]] = found[[MISSING, OTHER]]
    for code, name in enumerate(column.names, FIRST):
        if name in codes:
            embedding[code] = found[codes[name]]
        elif source.rare:
            # What is new is for now as what was rare.
            embedding[code] = found[OTHER]
    return embedding
