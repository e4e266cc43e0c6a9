"""imagemagick and ffmpeg: pixels and frames."""

from __future__ import annotations

from clients_lib.client import Client, register
from clients_lib.session import Session


@register
class ImageMagick(Client):
    """OpenMP threads, and images of tens of megabytes that come and go."""

    name = "imagemagick"
    summary = "Seeded plasma, blur, resize, distort, quantise, to PNG and JPEG and back, with two threads."
    programs = {"convert-im6.q16": "imagemagick"}
    normalised = "nothing; dates are excluded from the PNG by `-define`"

    def run(self, session: Session) -> None:
        env = {"MAGICK_THREAD_LIMIT": "2", "OMP_NUM_THREADS": "2"}
        no_dates = ["+set", "date:create", "+set", "date:modify", "-define", "png:exclude-chunks=date,time"]
        plasma, bent, photo = (session.work / name for name in ("plasma.png", "bent.png", "photo.jpg"))
        convert = "convert-im6.q16"
        session.step(
            "make",
            [convert, "-size", "1000x1000", "-seed", "42", "plasma:fractal", "-blur", "0x6", *no_dates, plasma],
            env=env,
        )
        session.step(
            "bend",
            [convert, plasma, "-resize", "150%", "-distort", "Arc", "60", "-colors", "64", *no_dates, bent],
            env=env,
        )
        session.step("jpeg", [convert, bent, "-sharpen", "0x2", "-quality", "85", photo], env=env)
        wanted = "%[fx:mean] %[fx:standard_deviation] %w %h"
        session.step("statistics", [convert, photo, "-format", wanted, "info:"], env=env)
        for path in (plasma, bent, photo):
            session.observe_file(path.name, path)


@register
class Ffmpeg(Client):
    """Large aligned buffers passed between threads."""

    name = "ffmpeg"
    summary = "A test picture and a tone encoded with libx264 and AAC on two threads, decoded and scaled again."
    programs = {"ffmpeg": "ffmpeg"}
    normalised = "nothing; `-bitexact` and a fixed thread count make the encoders repeatable"

    def run(self, session: Session) -> None:
        quiet = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "2", "-filter_threads", "2"]
        exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
        film = session.work / "film.mkv"
        source = ["-f", "lavfi", "-i", "testsrc2=duration=8:size=854x480:rate=25"]
        source += ["-f", "lavfi", "-i", "sine=frequency=440:duration=8"]
        encode = ["-c:v", "libx264", "-preset", "fast", "-threads", "2", "-c:a", "aac", *exact]
        session.step("encode", [*quiet, *source, *encode, film])
        session.observe_file("encode: film", film)
        session.step("decode", [*quiet, "-i", film, "-vf", "scale=640:360,hqdn3d", *exact, "-f", "framemd5", "-"])
