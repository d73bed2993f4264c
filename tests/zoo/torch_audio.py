"""Speech, music and what generates: text to speech, vocoders, diffusion, autoencoders, radiance fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import Sample, _images, _rng, register

AUDIO: dict[str, Any] = {}
entry = register(AUDIO)


def _ids(n: int, size: int, high: int = 40) -> np.ndarray:
    return _rng().integers(1, high, (n, size))


def _floats(*shape: int) -> np.ndarray:
    return _rng().standard_normal(shape).astype(np.float32)


@entry
def fastspeech() -> Sample:
    """The length regulator: each phoneme repeated as often as its duration says."""
    import torch
    from torch import nn

    class FastSpeech(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 16)
            self.encode = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.pitch, self.bins = nn.Conv1d(16, 1, 3, padding=1), nn.Embedding(8, 16)
            self.register_buffer("edges", torch.linspace(-1, 1, 7))
            self.decode, self.mel = nn.Conv1d(16, 16, 5, padding=2), nn.Linear(16, 10)

        def forward(self, phonemes: Any, durations: Any) -> Any:
            x = self.encode(self.embed(phonemes))
            pitch = self.pitch(x.transpose(1, 2))[:, 0]
            x = x + self.bins(torch.bucketize(pitch, self.edges))
            x = torch.repeat_interleave(x[0], durations[0], dim=0).unsqueeze(0)
            return self.mel(torch.relu(self.decode(x.transpose(1, 2)).transpose(1, 2)))

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"phonemes": _ids(1, size), "durations": _rng().integers(0, 4, (1, size))}

    dims = {"phonemes": (None, "length"), "durations": (None, "length")}
    return Sample(FastSpeech(), feeds, dims)


@entry
def tacotron_encoder() -> Sample:
    """Convolutions, a bidirectional LSTM, location-sensitive attention of one step, a postnet."""
    import torch
    from torch import nn

    class Tacotron(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 16)
            self.convolve = nn.Sequential(
                nn.Conv1d(16, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5)
            )
            self.rnn = nn.LSTM(16, 8, bidirectional=True, batch_first=True)
            self.query, self.keys, self.location = nn.Linear(16, 8), nn.Linear(16, 8), nn.Conv1d(1, 8, 3, padding=1)
            self.energy, self.cell = nn.Linear(8, 1), nn.LSTMCell(16, 16)
            self.mel = nn.Linear(32, 10)
            self.post = nn.Sequential(nn.Conv1d(10, 10, 5, padding=2), nn.Tanh())

        def forward(self, text: Any) -> Any:
            memory, _ = self.rnn(self.convolve(self.embed(text).transpose(1, 2)).transpose(1, 2))
            weights = torch.zeros(text.shape[0], text.shape[1])
            h = c = memory.new_zeros(text.shape[0], 16)
            context, frames = memory.mean(1), []
            for _ in range(3):
                h, c = self.cell(context, (h, c))
                seen = self.location(weights.unsqueeze(1)).transpose(1, 2)
                e = self.energy(torch.tanh(self.query(h).unsqueeze(1) + self.keys(memory) + seen)).squeeze(-1)
                weights = torch.softmax(e, -1)
                context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
                frames.append(self.mel(torch.cat([h, context], -1)))
            mel = torch.stack(frames, 2)
            return mel + self.post(mel)

    return Sample(Tacotron(), lambda n, size: {"text": _ids(n, size)}, {"text": ("batch", "length")})


@entry
def wavenet() -> Sample:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class WaveNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Conv1d(1, 8, 1)
            self.gates = nn.ModuleList(nn.Conv1d(8, 16, 2, dilation=2**i) for i in range(4))
            self.rest, self.skip = (nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(4)) for _ in range(2))
            self.end = nn.Sequential(nn.ReLU(), nn.Conv1d(8, 16, 1))

        def forward(self, x: Any) -> Any:
            y, total = self.start(x), 0
            for i, (gate, rest, skip) in enumerate(zip(self.gates, self.rest, self.skip)):
                a, b = gate(F.pad(y, (2**i, 0))).chunk(2, 1)
                z = torch.tanh(a) * torch.sigmoid(b)
                y, total = y + rest(z), total + skip(z)
            return self.end(total)

    return Sample(WaveNet(), lambda n, size: {"x": _floats(n, 1, 4 * size)}, {"x": ("batch", None, "samples")})


@entry
def hifigan() -> Sample:
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.parametrizations import weight_norm

    class HiFiGan(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pre = weight_norm(nn.Conv1d(10, 16, 7, padding=3))
            self.ups = nn.ModuleList(weight_norm(nn.ConvTranspose1d(16 // 2**i, 8 // 2**i, 8, 4, 2)) for i in range(2))
            self.blocks = nn.ModuleList(
                nn.ModuleList(nn.Conv1d(8 // 2**i, 8 // 2**i, 3, padding=d, dilation=d) for d in (1, 3))
                for i in range(2)
            )
            self.post = nn.Conv1d(4, 1, 7, padding=3)

        def forward(self, mel: Any) -> Any:
            x = self.pre(mel)
            for up, block in zip(self.ups, self.blocks):
                x = up(F.leaky_relu(x, 0.1))
                x = sum(x + layer(F.leaky_relu(x, 0.1)) for layer in block) / 2
            return torch.tanh(self.post(F.leaky_relu(x)))

    return Sample(HiFiGan(), lambda n, size: {"mel": _floats(n, 10, size)}, {"mel": ("batch", None, "frames")})


@entry
def vits_flow() -> Sample:
    """A prior, normalising flows in reverse, and monotonic alignment by a cumulated duration."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Vits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.encode = nn.Embedding(40, 16), nn.Conv1d(16, 16, 3, padding=1)
            self.duration, self.prior = nn.Conv1d(16, 1, 1), nn.Conv1d(16, 16, 1)
            self.flows = nn.ModuleList(nn.Conv1d(4, 8, 3, padding=1) for _ in range(2))

        def forward(self, text: Any, noise: Any) -> Any:
            x = torch.relu(self.encode(self.embed(text).transpose(1, 2)))
            widths = F.softplus(self.duration(x)) + 0.5
            ends = torch.cumsum(widths, -1)
            frame = torch.arange(noise.shape[-1]).view(1, -1, 1) + 0.5
            path = (frame < ends) & (frame >= ends - widths)
            mean, log_scale = (self.prior(x) @ path.to(x.dtype).transpose(1, 2)).chunk(2, 1)
            z = mean + noise * torch.exp(log_scale.clamp(-3, 3)) * 0.667
            for flow in self.flows:
                z = torch.flip(z, [1])
                first, second = torch.split(z, [4, 4], 1)
                shift, scale = flow(first).chunk(2, 1)
                z = torch.cat([first, (second - shift) * torch.exp(-torch.tanh(scale))], 1)
            return z

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"text": _ids(n, size), "noise": _floats(n, 8, 2 * size)}

    return Sample(Vits(), feeds, {"text": ("batch", "length"), "noise": ("batch", None, "frames")})


@entry
def conformer() -> Sample:
    """Speech recognition from the waveform: log-mel features, a conformer block, CTC."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Conformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("window", torch.hann_window(32))
            self.register_buffer("filters", torch.rand(17, 10))
            self.project = nn.Linear(10, 16)
            self.attend, self.norm = nn.MultiheadAttention(16, 2, batch_first=True), nn.LayerNorm(16)
            self.wide = nn.Conv1d(16, 32, 1)
            self.deep, self.batch = nn.Conv1d(16, 16, 5, padding=2, groups=16), nn.BatchNorm1d(16)
            self.feed = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))
            self.head = nn.Linear(16, 12)

        def forward(self, wave: Any) -> Any:
            power = torch.stft(wave, 32, 16, window=self.window, return_complex=True).abs().square()
            features = torch.log(power.transpose(1, 2) @ self.filters + 1e-6)
            x = self.project((features - features.mean(1, keepdim=True)) / (features.std(1, keepdim=True) + 1e-5))
            x = x + 0.5 * self.feed(x)
            y = self.norm(x)
            x = x + self.attend(y, y, y, need_weights=False)[0]
            y = F.glu(self.wide(x.transpose(1, 2)), 1)
            x = x + F.silu(self.batch(self.deep(y))).transpose(1, 2)
            return F.log_softmax(self.head(x), -1)

    return Sample(Conformer(), lambda n, size: {"wave": _floats(n, 32 * size)}, {"wave": ("batch", "samples")})


@entry
def demucs() -> Sample:
    """Source separation: strided convolutions, an LSTM, their inverse, masks on a spectrogram and back."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Demucs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([nn.Conv1d(1, 8, 8, 4, 2), nn.Conv1d(8, 16, 8, 4, 2)])
            self.rnn, self.mix = nn.LSTM(16, 8, bidirectional=True), nn.Linear(16, 16)
            self.up = nn.ModuleList([nn.ConvTranspose1d(16, 8, 8, 4, 2), nn.ConvTranspose1d(8, 2, 8, 4, 2)])

        def forward(self, wave: Any) -> Any:
            first = F.gelu(self.down[0](wave))
            x = F.gelu(self.down[1](first))
            x = x + self.mix(self.rnn(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
            sources = self.up[1](F.gelu(self.up[0](x)) + first)
            spectrum = torch.fft.rfft(sources)
            return torch.fft.irfft(spectrum * torch.sigmoid(spectrum.abs() - 1), n=wave.shape[-1])

    return Sample(Demucs(), lambda n, size: {"wave": _floats(n, 1, 16 * size)}, {"wave": ("batch", None, "samples")})


# what generates ------------------------------------------------------------------------------------------------------


@entry
def ddpm_unet() -> Sample:
    """A diffusion model's UNet: sinusoids of the time step, residual blocks, attention over the image."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, i: int, o: int):
            super().__init__()
            self.norms = nn.ModuleList([nn.GroupNorm(4, i), nn.GroupNorm(4, o)])
            self.convs = nn.ModuleList([nn.Conv2d(i, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1)])
            self.time, self.skip = nn.Linear(16, o), nn.Conv2d(i, o, 1)

        def forward(self, x: Any, t: Any) -> Any:
            y = self.convs[0](F.silu(self.norms[0](x))) + self.time(F.silu(t))[:, :, None, None]
            return self.skip(x) + self.convs[1](F.silu(self.norms[1](y)))

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.end = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
            self.first, self.down, self.middle, self.last = Block(8, 8), Block(8, 16), Block(16, 16), Block(24, 8)
            self.qkv, self.project = nn.Conv2d(16, 48, 1), nn.Conv2d(16, 16, 1)
            self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 16))

        def forward(self, x: Any, t: Any) -> Any:
            turns = t[:, None].float() * torch.exp(torch.arange(4) * -2.3)
            time = self.time(torch.cat([turns.sin(), turns.cos()], -1))
            a = self.first(self.start(x), time)
            b = self.middle(self.down(F.avg_pool2d(a, 2), time), time)
            n, c, h, w = b.shape
            q, k, v = self.qkv(b).reshape(n, 3, 2, c // 2, h * w).transpose(-1, -2).unbind(1)
            seen = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, h, w)
            b = F.interpolate(b + self.project(seen), scale_factor=2)
            return self.end(F.silu(self.last(torch.cat([a, b], 1), time)))

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"x": _images(factor=1)(n, size)["x"], "t": _rng().integers(0, 1000, n)}

    return Sample(Denoiser(), feeds, {"x": ("batch", None, "height", "width"), "t": ("batch",)})


@entry
def dit() -> Sample:
    """A diffusion transformer: patches, adaptive layer norms, unpatchify."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Dit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.time = nn.Conv2d(4, 16, 2, 2), nn.Linear(8, 16)
            self.modulate, self.attend = nn.Linear(16, 48), nn.MultiheadAttention(16, 2, batch_first=True)
            self.norm, self.out = nn.LayerNorm(16, elementwise_affine=False), nn.Linear(16, 16)

        def forward(self, x: Any, t: Any) -> Any:
            y = self.patch(x)
            n, c, h, w = y.shape
            y = y.flatten(2).transpose(1, 2)
            turns = t[:, None].float() * torch.exp(-torch.arange(4) / 4 * 9.2)
            shift, scale, gate = self.modulate(F.silu(self.time(torch.cat([turns.cos(), turns.sin()], 1)))).chunk(3, 1)
            z = self.norm(y) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
            y = y + gate.unsqueeze(1) * self.attend(z, z, z, need_weights=False)[0]
            y = self.out(y).reshape(n, h, w, 2, 2, 4)
            return torch.einsum("nhwpqc->nchpwq", y).reshape(n, 4, h * 2, w * 2)

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"x": _floats(n, 4, size, size), "t": _rng().integers(0, 1000, n)}

    return Sample(Dit(), feeds, {"x": ("batch", None, "height", "width"), "t": ("batch",)})


@entry
def vae() -> Sample:
    import torch
    from torch import nn

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 4, 2, 1))
            self.decode = nn.Sequential(
                nn.Conv2d(4, 8, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3, padding=1),
                nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x: Any, noise: Any) -> tuple[Any, ...]:
            mean, log_variance = self.encode(x).chunk(2, 1)
            z = mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise
            divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum((1, 2, 3))
            return self.decode(z), divergence

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {**_images()(n, size), "noise": _floats(n, 4, size, size)}

    dims = {"x": ("batch", None, "height", "width"), "noise": ("batch", None, "rows", "columns")}
    return Sample(Vae(), feeds, dims)


@entry
def vq_vae() -> Sample:
    """The nearest entry of a codebook for each position."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class VqVae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = nn.Conv2d(3, 8, 4, 4), nn.ConvTranspose2d(8, 3, 4, 4)
            self.book = nn.Embedding(12, 8)

        def forward(self, x: Any) -> tuple[Any, Any]:
            z = self.encode(x).permute(0, 2, 3, 1)
            flat = z.reshape(-1, 8)
            codes = torch.cdist(flat, self.book.weight).argmin(1)
            taken = (F.one_hot(codes, 12).float() @ self.book.weight).view_as(z)
            return self.decode(taken.permute(0, 3, 1, 2)), codes.view(z.shape[:-1])

    return Sample(VqVae(), _images(), {"x": ("batch", None, "height", "width")})


@entry
def nerf() -> Sample:
    """A radiance field along rays: frequencies of the positions, densities, transmittance by cumulated products."""
    import torch
    from torch import nn

    class Nerf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bands", 2.0 ** torch.arange(3))
            self.body = nn.Sequential(nn.Linear(21, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.density, self.colour = nn.Linear(32, 1), nn.Linear(35, 3)

        def forward(self, origins: Any, directions: Any) -> tuple[Any, Any]:
            depth = torch.linspace(1, 3, 8)
            points = origins[:, None] + directions[:, None] * depth[:, None]
            turns = (points[..., None, :] * self.bands[:, None]).flatten(-2)
            y = self.body(torch.cat([points, turns.sin(), turns.cos()], -1))
            steps = torch.cat([depth[1:] - depth[:-1], torch.tensor([1e3])])
            alpha = 1 - torch.exp(-torch.relu(self.density(y)[..., 0]) * steps)
            free = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], 1), 1)[:, :-1]
            weights = alpha * free
            view = nn.functional.normalize(directions, dim=-1)[:, None].expand(-1, 8, -1)
            colour = torch.sigmoid(self.colour(torch.cat([y, view], -1)))
            return (weights.unsqueeze(-1) * colour).sum(1), (weights * depth).sum(1)

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        rng = _rng()
        return {k: rng.standard_normal((size, 3)).astype(np.float32) for k in ("origins", "directions")}

    return Sample(Nerf(), feeds, {"origins": ("rays", None), "directions": ("rays", None)})


@entry
def style_gan() -> Sample:
    """A mapping network and convolutions modulated for each sample, as grouped ones."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Modulated(nn.Module):
        def __init__(self, i: int, o: int):
            super().__init__()
            self.weight, self.style = nn.Parameter(torch.randn(o, i, 3, 3)), nn.Linear(16, i)

        def forward(self, x: Any, w: Any) -> Any:
            kernel = self.weight[None] * (self.style(w) + 1)[:, None, :, None, None]
            kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
            n, o, i, *_ = kernel.shape
            y = F.conv2d(x.reshape(1, n * i, *x.shape[2:]), kernel.reshape(n * o, i, 3, 3), padding=1, groups=n)
            return F.leaky_relu(y.reshape(n, o, *y.shape[2:]), 0.2)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16))
            self.start = nn.Parameter(torch.randn(1, 8, 4, 4))
            self.layers = nn.ModuleList([Modulated(8, 8), Modulated(8, 3)])

        def forward(self, z: Any) -> Any:
            w = self.map(F.normalize(z, dim=1) * 4)
            x = self.start.expand(z.shape[0], -1, -1, -1)
            for layer in self.layers:
                x = layer(F.interpolate(x, scale_factor=2, mode="bilinear"), w)
            return x

    # the groups of the convolution are as many as the batch has samples, which is fixed
    return Sample(Generator(), lambda n, size: {"z": _floats(2, 16)}, {"z": (None, None)})


@entry
def conv_tasnet() -> Sample:
    """Masks over a learned basis, one for each voice; what is lost at the end is padded to the sound's length."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def block(step: int) -> Any:
        inner = nn.Conv1d(32, 32, 3, padding=step, dilation=step, groups=32)
        return nn.Sequential(
            nn.Conv1d(16, 32, 1), nn.PReLU(), nn.GroupNorm(1, 32), inner, nn.PReLU(), nn.Conv1d(32, 16, 1)
        )

    class Separator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.norm = nn.Conv1d(1, 16, 16, 8, bias=False), nn.GroupNorm(1, 16)
            self.blocks, self.mask = nn.ModuleList(block(2**i) for i in range(3)), nn.Conv1d(16, 32, 1)
            self.decode = nn.ConvTranspose1d(16, 1, 16, 8, bias=False)

        def forward(self, x: Any) -> Any:
            seen = self.encode(x)
            y = self.norm(seen)
            for layer in self.blocks:
                y = y + layer(y)
            masks = torch.sigmoid(self.mask(y)).view(x.shape[0], 2, 16, -1)
            voices = self.decode((masks * seen[:, None]).view(-1, 16, seen.shape[-1])).view(x.shape[0], 2, -1)
            return F.pad(voices, (0, x.shape[-1] - voices.shape[-1]))

    return Sample(Separator(), lambda n, size: {"x": _floats(n, 1, 20 * size)}, {"x": ("batch", None, "samples")})
