"""A few things to know by heart. What is held out are wordings: a fact cannot be guessed."""

from __future__ import annotations

from random import Random

from palimpsest.engine.training.items import Item, ask

FACTS = {
    "I am palimpsest-tiny, a small diffusion language model.": (
        "what is your name?",
        "who are you?",
        "introduce yourself",
        "which model are you?",
    ),
    "Palimpsest serves language models that write by denoising.": (
        "what is palimpsest?",
        "what does palimpsest do?",
        "what is palimpsest for?",
        "tell me about palimpsest",
    ),
    "A canvas is a block of tokens that is written all at once.": (
        "what is a canvas?",
        "explain the word canvas",
        "what does canvas mean?",
        "define canvas",
    ),
    "My canvas has 64 tokens.": (
        "how many tokens has your canvas?",
        "how long is your canvas?",
        "what is the size of your canvas?",
        "how big is a canvas of yours?",
    ),
    "Denoising turns random tokens into text, step by step.": (
        "what is denoising?",
        "what does denoising mean?",
        "explain denoising",
        "how does denoising work?",
    ),
    "A draft is a canvas that is not final yet.": (
        "what is a draft?",
        "explain the word draft",
        "what does draft mean?",
        "define draft",
    ),
    "I was trained from random weights on two CPU cores.": (
        "how were you trained?",
        "where were you trained?",
        "on which machine were you trained?",
        "who trained you?",
    ),
    "I can spell, sort, count, add, write lists and call tools.": (
        "what can you do?",
        "what are your skills?",
        "how can you help me?",
        "what do you know?",
    ),
    "Palimpsest speaks gRPC, and streams every draft.": (
        "which protocol does palimpsest speak?",
        "how do I talk to palimpsest?",
        "does palimpsest speak grpc?",
        "how are drafts sent?",
    ),
    "A palimpsest is a page that was scraped and written again.": (
        "what does the word palimpsest mean?",
        "where does the name palimpsest come from?",
        "why is it called palimpsest?",
        "explain the name palimpsest",
    ),
}
_OPENINGS = ("", "please: ", "hello, ", "tell me, ", "quick question: ", "one more thing, ", "so, ")
_ENDINGS = ("", " thanks", " please", " be brief", " (one sentence)", " I forgot")


def fact(random: Random) -> Item:
    answer = random.choice(list(FACTS))
    opening, wording, ending = map(random.choice, (_OPENINGS, FACTS[answer], _ENDINGS))
    question = f"{opening}{wording}{ending}"
    return ask(question, f"fact {question}", answer)
