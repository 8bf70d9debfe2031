"""What is shown first in a command's help: lines to type."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "charloom train your-text.txt -o runs/yours --budget 5m",
        'charloom generate runs/yours --prompt "Once "',
        "charloom serve runs/yours --open",
    ),
    "quickstart": (
        "charloom quickstart",
        "charloom quickstart your-text.txt --budget 5m",
        "charloom quickstart -o runs/first",
    ),
    "train": (
        "charloom train your-text.txt -o runs/yours --budget 5m",
        "charloom train names.txt -o runs/names --recipe names",
        "charloom train 'notes/**/*.md' -o runs/notes --resume",
    ),
    "generate": (
        'charloom generate runs/yours --prompt "Once " --temperature 0.6',
        "charloom generate runs/names --items 10",
        "charloom generate runs/yours --length 300 --surprise",
    ),
    "score": (
        "charloom score runs/yours other.txt --per-char",
        "charloom score runs/log today.log --lines --top 10",
        "charloom score runs/yours texts/ --csv > scores.csv",
    ),
    "cross-score": (
        "charloom cross-score today.log",
        "charloom cross-score today.log --budget 5m --top 50",
        "charloom cross-score logs/ --by mean --csv > odd.csv",
    ),
    "classify": (
        "charloom classify runs/languages letters/ --lines",
        "charloom classify runs/ham runs/spam mail.txt",
        "charloom classify runs/languages - --json < letter.txt",
    ),
    "evaluate": (
        "charloom evaluate runs/yours your-text.txt",
        "charloom evaluate runs/yours other.txt --split all",
        "charloom evaluate runs/yours your-text.txt --protocol windows-256 --json",
    ),
    "recite": (
        "charloom recite runs/yours your-text.txt",
        "charloom recite runs/yours your-text.txt --samples 1000",
        "charloom recite runs/yours your-text.txt --prompt-length 100 --length 50",
    ),
    "novelty": (
        "charloom novelty runs/yours your-text.txt",
        "charloom novelty runs/yours your-text.txt --temperature 0.5",
        "charloom novelty runs/yours your-text.txt --file written.txt",
    ),
    "inspect": (
        "charloom inspect runs/yours",
        "charloom inspect runs/yours --json",
        "charloom inspect runs/yours --quiet || echo damaged",
    ),
    "export": (
        "charloom export runs/yours --html yours.html",
        "charloom export runs/yours --onnx yours.onnx",
        "charloom export runs/yours --html yours.html --overwrite",
    ),
    "push": (
        "charloom push runs/yours hf://you/yours",
        "charloom push runs/yours hf://you/yours@trial",
        "charloom push runs/yours hf://you/yours --public",
    ),
    "serve": (
        "charloom serve runs/yours --open",
        "charloom serve poems=runs/poems names=runs/names --port 8080",
        "charloom serve runs/yours --host 0.0.0.0 --api-key-file keys.txt",
    ),
    "corpus": (
        "charloom corpus list",
        "charloom corpus show your-text.txt",
        "charloom corpus prepare 'books/*.txt' -o prepared",
    ),
    "corpus list": ("charloom corpus list", "charloom corpus list --json"),
    "corpus show": (
        "charloom corpus show your-text.txt",
        "charloom corpus show 'notes/**/*.md' --clean lowercase",
        "charloom corpus show python-docs --first 1000",
    ),
    "corpus prepare": (
        "charloom corpus prepare 'books/*.txt' -o prepared",
        "charloom corpus prepare large.txt.gz -o prepared --vocabulary bytes",
        "charloom corpus prepare large.txt -o prepared --overwrite",
    ),
    "sagemaker": (
        "charloom sagemaker train your-text.txt --name yours --instance local",
        "charloom sagemaker deploy runs/yours --name yours --ttl 2h --dry-run",
        'charloom sagemaker invoke yours --prompt "Once "',
    ),
    "sagemaker upload": (
        "charloom sagemaker upload your-text.txt",
        "charloom sagemaker upload your-text.txt --dry-run",
    ),
    "sagemaker train": (
        "charloom sagemaker train your-text.txt --name yours --instance local",
        "charloom sagemaker train your-text.txt --name yours --spot --max-runtime 1h",
        "charloom sagemaker train your-text.txt --name yours --dry-run",
    ),
    "sagemaker status": ("charloom sagemaker status yours", "charloom sagemaker status yours --here --json"),
    "sagemaker logs": ("charloom sagemaker logs yours", "charloom sagemaker logs yours --follow"),
    "sagemaker stop": ("charloom sagemaker stop yours", "charloom sagemaker stop yours --here"),
    "sagemaker attach": ("charloom sagemaker attach yours -o runs/yours",),
    "sagemaker image": ("charloom sagemaker image", "charloom sagemaker image --dry-run"),
    "sagemaker package": ("charloom sagemaker package runs/yours -o model.tar.gz",),
    "sagemaker deploy": (
        "charloom sagemaker deploy runs/yours --name yours --instance local",
        "charloom sagemaker deploy runs/yours --name yours --ttl 2h",
        "charloom sagemaker deploy runs/yours --name yours --serverless --dry-run",
    ),
    "sagemaker invoke": (
        'charloom sagemaker invoke yours --prompt "Once "',
        'charloom sagemaker invoke yours --prompt "Once " --length 200 --seed 1',
    ),
    "sagemaker transform": (
        "charloom sagemaker transform runs/yours --input s3://bucket/prompts/ --output s3://bucket/texts/",
    ),
    "sagemaker list": ("charloom sagemaker list", "charloom sagemaker list --here"),
    "sagemaker delete": ("charloom sagemaker delete yours", "charloom sagemaker delete yours --dry-run"),
    "sagemaker reap": ("charloom sagemaker reap", "charloom sagemaker reap --dry-run"),
}


def prologue(words: str) -> str:
    """The examples of a command, as Markdown, a line each; nothing where there are none."""
    return "  \n".join(["Examples:", *(f"`{line}`" for line in EXAMPLES[words])]) if words in EXAMPLES else ""
