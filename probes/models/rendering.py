"""Renders a prompt as the models would read it, without them: the tokenizer is enough."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import AutoConfig, PreTrainedTokenizerBase

import probes.models.lean_import  # noqa: F401  # before anything imports transformers
from probes.models.error_boundary import error_boundary
from probes.models.locate import locate, read_config
from probes.models.prompting import Prompt, read_prompt
from probes.models.read import read_tokenizer, refuse_foreign_code
from probes.models.tokens import TokenDecoder
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.rendered import RenderedPrompt, RenderedToken
from probes.schema.settings import RunSettings
from probes.schema.spec import LOAD_DEFAULTS, LoadOptions
from probes.system.progress import UNWATCHED, Work


def load_tokenizer(spec: str, options: LoadOptions = LOAD_DEFAULTS, work: Work = UNWATCHED) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `spec` names. Of a model on the hub, the weights are not downloaded.

    Raises `BadInput` if there is no such model, or none with a tokenizer, and `Failure` if it can't be downloaded.
    """
    dtype = "float32" if options.dtype == "auto" else options.dtype
    with error_boundary(
        "Model not found", f"{visible(spec, 300)} can't be opened", "Name another folder, file or hub id."
    ):
        place = locate(spec, options, work, gguf_dtype=dtype, weights=False)
    refuse_foreign_code(read_config(place.folder), place.name, options.trust_remote_code)
    with error_boundary(
        "Wrong configuration", f"{visible(str(place.folder / 'config.json'))} can't be used", "Name another model."
    ):
        config = AutoConfig.from_pretrained(
            place.folder, trust_remote_code=options.trust_remote_code, local_files_only=True
        )
    found = read_tokenizer(place.folder, config, options)
    if found is None:
        shown = visible(str(place.folder))
        raise BadInput("No tokenizer", f"{place.name} has no tokenizer in {shown}.", "Add its tokenizer.json.")
    return found


def render_prompt(tokenizer: PreTrainedTokenizerBase, settings: RunSettings) -> RenderedPrompt:
    """The prompt of a run and its tokens. Raises what `read_prompt` raises."""
    return rendered(tokenizer, read_prompt(tokenizer, settings))


def rendered(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> RenderedPrompt:
    """The tokens of a prompt that was read."""
    tokens = prompt_tokens(tokenizer, (*prompt.ids, *prompt.text_ids))
    count = len(prompt.ids)
    return RenderedPrompt(prompt.text, tokens[:count], tokens[count:], prompt.notes, prompt.warnings)


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[RenderedToken, ...]:
    """The tokens with these ids: the text of each, and whether it is special."""
    decoder, added = TokenDecoder(tokenizer), tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(one for one, token in added.items() if token.special)}
    return tuple(
        RenderedToken(one, decoder.piece(one), "special" if one in special else "added" if one in added else "")
        for one in ids
    )
