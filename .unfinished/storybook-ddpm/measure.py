"""Fill the cache with all that claims.measure draws; two of these run side by side. `assemble` at the end."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import torch

from minidiff.pipelines.ddpm import DDPMPipeline
from minidiff.zoo.recipes import claims, recipe, training

torch.set_num_threads(1)
folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
n = int(sys.argv[3])
mode = sys.argv[4]
cache.mkdir(parents=True, exist_ok=True)
pipe = DDPMPipeline.from_pretrained(folder)
pipe.to(memory_format=torch.channels_last)
weights = hashlib.sha256((folder / "unet/diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


def key(*parts):
    h = hashlib.sha256(weights.encode())
    for p in parts:
        h.update(p.contiguous().numpy().tobytes() if torch.is_tensor(p) else repr(p).encode())
    return h.hexdigest()[:20]


real_draw, real_encode = claims.draw, claims.encode


def cached(file, make):
    file = cache / file
    if file.exists():
        return torch.load(file) if file.suffix == ".pt" else json.loads(file.read_text())
    assert mode == "work", file
    started = time.monotonic()
    result = make()
    tmp = file.with_suffix(f".{os.getpid()}.tmp")
    torch.save(result, tmp) if file.suffix == ".pt" else tmp.write_text(json.dumps(result))
    os.replace(tmp, file)
    with open(cache / "minutes.txt", "a") as f:
        f.write(f"{file.name} {(time.monotonic() - started) / 60}\n")
    return result


config = lambda s: (type(s).__name__, sorted((k, str(v)) for k, v in dict(s.config).items()))


def draw(p, x_T, steps, seed=0, bar=None):
    return cached(
        f"draw_{key(type(p).__name__, config(p.scheduler), x_T, steps, seed)}.pt",
        lambda: real_draw(p, x_T, steps, seed, bar),
    )


def encode(unet, scheduler, x_0, steps, bar=None):
    return cached(
        f"encode_{key(config(scheduler), x_0, steps)}.pt", lambda: real_encode(unet, scheduler, x_0, steps, bar)
    )


claims.draw, claims.encode = draw, encode
real_coarse = claims.coarse_to_fine
claims.coarse_to_fine = lambda pipe, samples, bar=None: (
    cached(f"coarse_{n}.json", lambda: real_coarse(pipe, samples)[0]),
    None,
)
quality = lambda: cached("quality.json", lambda: recipe("storybook-ddpm").quality(folder))
x_T = lambda: claims.noises(pipe, n, 0)


def enc(N):
    with torch.no_grad():
        x_0 = claims.drawings(n, 32, 0)
        s = claims.sampler("DDIM, no clip", pipe)
        claims.draw(s, claims.encode(pipe.unet, s.scheduler, x_0, N), N)


named = lambda name, N, first=None: lambda: claims.draw(claims.sampler(name, pipe), x_T()[:first], N)
units = {"quality": quality} if n == 1000 else {}
units["interpolation"] = lambda: claims.interpolation(pipe, n)
units["coarse"] = lambda: claims.coarse_to_fine(pipe, n)
units["ends"] = named("F-PNDM, trailing", 100, claims.CURVES)
for kind in ("", ", trailing"):
    for name, N in (("DDIM", 10), ("PLMS", 9), ("DDIM", 19), ("F-PNDM", 10)):
        units[f"{name}{kind} {N}"] = named(name + kind, N)
for N in (10, 20):
    units[f"enc {N}"] = lambda N=N: enc(N)
for N in claims.STEPS:
    for name in ("DDIM", "DDPM") + (("DDPM, large",) if N == 10 else ()):
        units.setdefault(f"{name} {N}", named(name, N))
for N in (50, 100):
    units[f"enc {N}"] = lambda N=N: enc(N)
if mode == "work":
    for name, unit in units.items():
        try:
            os.close(os.open(cache / f"lock {name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        started = time.monotonic()
        unit()
        print(f"{time.strftime('%H:%M:%S')} {name} {(time.monotonic() - started) / 60:.1f} min", flush=True)
else:
    result = claims.measure(folder, n)
    result["minutes"] = round(
        sum(float(line.split()[-1]) for line in open(cache / "minutes.txt") if "quality" not in line), 1
    )
    training.write_report(
        folder,
        recipe("storybook-ddpm"),
        json.loads((folder / "run.json").read_text()),
        {"quality": quality() if n == 1000 else {}, "claims": result},
    )
    print((folder / "README.md").read_text())
