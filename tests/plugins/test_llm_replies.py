"""Grids in replies: every dress in which language models hand them over, thoughts that are no answers, and bounds."""

from __future__ import annotations

import json
import time

import pytest

from trm_model_llm.reply import read_grid

ROWS = [[1, 2, 3], [4, 5, 0]]
OTHER = "9 9 9\n9 9 9\n"

DRESSES = {
    "plain": "1 2 3\n4 5 0",
    "written together": "123\n450",
    "slashes": "123/450",
    "JSON": json.dumps(ROWS),
    "JSON, indented": json.dumps(ROWS, indent=2),
    "JSON, indented, in an object and a fence": f"```json\n{json.dumps({'output': ROWS}, indent=4)}\n```",
    "JSON, cells as strings": '[["1","2","3"],["4","5","0"]]',
    "JSON, row strings": '["123", "450"]',
    "JSON, row strings on lines": '["123",\n "450"\n]',
    "JSON, rows with spaces": '["1 2 3", "4 5 0"]',
    "JSON, one string": '{"output": "1 2 3\\n4 5 0"}',
    "JSON in a string": json.dumps(json.dumps({"output": [["1", "2", "3"], ["4", "5", "0"]]})),
    "Python, cells as strings": "[['1','2','3'],['4','5','0']]",
    "tuples": "((1, 2, 3), (4, 5, 0))",
    "list of tuples": "[(1, 2, 3), (4, 5, 0)]",
    "whole numbers with a point": "[[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]",
    "rows with a point": "1.0 2.0 3.0\n4.0 5.0 0.0",
    "an array": "array([[1, 2, 3],\n       [4, 5, 0]])",
    "an array, printed": "[[1 2 3]\n [4 5 0]]",
    "a list a line": "[1, 2, 3]\n[4, 5, 0]",
    "labelled lists": "Row 1: [1, 2, 3]\nRow 2: [4, 5, 0]",
    "the last of several": json.dumps([[[7, 7], [7, 7]], ROWS]),
    "tags on the rows' lines": "<answer>1 2 3\n4 5 0</answer>",
    "tags on lines of their own": "<answer>\n1 2 3\n4 5 0\n</answer>",
    "a tag a row": "<row>1 2 3</row>\n<row>4 5 0</row>",
    "input and output": "<input>1 1 1</input>\n<output>1 2 3\n4 5 0</output>",
    "special tokens": "<|begin_of_solution|>1 2 3\n4 5 0<|end_of_solution|>",
    "a quote": "> 1 2 3\n> 4 5 0",
    "a nested quote": ">> 1 2 3\n>> 4 5 0",
    "a table": "| 1 | 2 | 3 |\n|---|---|---|\n| 4 | 5 | 0 |",
    "bullets": "- 1 2 3\n- 4 5 0",
    "bold": "**1 2 3**\n**4 5 0**",
    "a matrix": "\\begin{bmatrix} 1 & 2 & 3 \\\\ 4 & 5 & 0 \\end{bmatrix}",
    "a boxed array": "$$\\boxed{\\begin{array}{ccc}1 & 2 & 3 \\\\ \\hline 4 & 5 & 0\\end{array}}$$",
    "a matrix in JSON": json.dumps("\\begin{pmatrix} 1 & 2 & 3 \\\\ 4 & 5 & 0 \\end{pmatrix}"),
    "rows set apart": "1 2 3\n\n4 5 0",
}

THOUGHTS = {
    "think": f"<think>{OTHER}</think>",
    "thinking, with an attribute": f'<thinking mode="long">{OTHER}</thinking>',
    "reasoning": f"<reasoning>\n{OTHER}</reasoning>\n",
    "with a prefix": f"<seed:think>{OTHER}</seed:think>",
    "opened in the prompt": f"{OTHER}</think>",
    "square": f"[THINK]{OTHER}[/THINK]",
    "triangles": f"\u25c1think\u25b7{OTHER}\u25c1/think\u25b7",
    "tokens": f"<|begin_of_thought|>{OTHER}<|end_of_thought|>",
    "capital tokens": f"<|START_THINKING|>{OTHER}<|END_THINKING|>",
    "unused tokens": f"<unused94>thought\n{OTHER}<unused95>",
    "channels": f"<|channel|>analysis<|message|>{OTHER}<|end|><|start|>assistant<|channel|>final<|message|>",
    "channels without their marks": f"analysisWe try\n{OTHER}assistantfinal",
    "a fence": f"```thinking\n{OTHER}```\n",
    "a fold-out": f"<details><summary>Reasoning</summary>\n{OTHER}</details>\n",
    "words": f"Here is my thought process:\n{OTHER}\nHere is my response:\n",
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("before", ["", "Let me see. The rule is 2 x 3.\n\n", f"First try:\n{OTHER}\nBetter:\n"])
def test_every_dress_is_the_same_grid(dress: str, before: str) -> None:
    assert read_grid(before + DRESSES[dress], 12).tolist() == ROWS


@pytest.mark.parametrize("mark", THOUGHTS)
def test_thoughts_are_no_answer(mark: str) -> None:
    thought = THOUGHTS[mark]
    assert read_grid(f"{thought}1 2 3\n4 5 0", 12).tolist() == ROWS
    assert read_grid(f"{thought}I do not know.", 12) is None


@pytest.mark.parametrize("mark", [mark for mark in THOUGHTS if mark != "opened in the prompt"])
def test_thoughts_that_were_cut_short_hold_no_answer(mark: str) -> None:
    assert read_grid(THOUGHTS[mark].partition(OTHER)[0] + OTHER, 12) is None


@pytest.mark.parametrize(
    "text",
    [
        "[[1, 2, 3],\n [4, 5",
        json.dumps(ROWS, indent=2)[:-8],
        '{"output": [\n  [\n    1,\n    2\n  ],\n  [\n    3',
        "\\begin{bmatrix} 1 & 2 \\\\\n3 & 4",
        "[[1, 2], [3]]",
        "[[1.5, 2], [3, 4]]",
    ],
)
def test_a_list_that_was_cut_or_holds_no_grid_is_no_answer(text: str) -> None:
    assert read_grid(text, 12) is None


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("00\n00", [[0, 0], [0, 0]]),
        ("00/00", [[0, 0], [0, 0]]),
        ("03\n50", [[0, 3], [5, 0]]),
        ("10\n11", [[1, 0], [1, 1]]),
        ("```\n05\n06\n07\n```", [[0, 5], [0, 6], [0, 7]]),
        ("10 11\n2 3", [[10, 11], [2, 3]]),
        ("7", [[7]]),
    ],
)
def test_digits_that_stand_together_are_cells_unless_they_name_a_symbol(text: str, grid: list[list[int]]) -> None:
    assert read_grid(text, 12).tolist() == grid


def test_bands_of_a_board_set_apart_are_one_board_and_other_blocks_are_not() -> None:
    board = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
    lines = [" ".join(map(str, row)) for row in board]
    assert read_grid("\n".join([*lines[:2], "", *lines[2:]]), 6).tolist() == board
    assert read_grid("1 2\n3 4\n\n5 6 7\n8 9 0", 12).tolist() == [[5, 6, 7], [8, 9, 0]]
    assert read_grid("<input>1 2 3</input>\n<output>3 2 1</output>", 12).tolist() == [[3, 2, 1]]


@pytest.mark.parametrize(
    "text",
    ["[" * 300_000, "[1," * 100_000, "<think>" * 50_000, "\\begin{bmatrix}" * 20_000, "> " * 200_000, "'1\n" * 100_000]
    + [
        "'" + "1\n" * 200_000,
        "\n" * 500_000,
        "\\" * 500_000,
        "<|channel|>a" * 30_000,
        "<details>" * 40_000,
        "(" * 300_000,
    ]
    + ["[[1,2],[3,4] x " * 20_000, "<" + "a" * 500_000],
    ids=lambda text: text[:16],
)
def test_long_nonsense_takes_time_by_its_length_alone(text: str) -> None:
    began = time.process_time()
    read_grid(text, 12)
    assert time.process_time() - began < 10
