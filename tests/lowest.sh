#!/bin/sh
# Runs tests with the lowest versions that pyproject.toml allows, beside the torch of the Python that is given.
# Torch's own lowest version would be a download of several gigabytes, so it is the only one that is not lowered.
set -eu
python=$1
shift
place=build/lowest
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

mkdir -p build
"$python" -c 'from importlib.metadata import version as v; print("torch==" + v("torch").split("+")[0])' >build/torch.txt
"$python" -m uv pip compile --quiet --resolution lowest-direct --override build/torch.txt --extra test --no-annotate \
    --no-header pyproject.toml --output-file build/all-lowest.txt
grep -v -E '^(torch|triton|nvidia-|cuda-)' build/all-lowest.txt >build/lowest.txt

"$python" -m uv venv --quiet --clear --python "$python" "$place"
"$python" -m uv pip install --quiet --no-deps --python "$place/bin/python" --requirement build/lowest.txt --editable .
here=$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for part in "$packages"/torch "$packages"/torch-* "$packages"/torchgen "$packages"/functorch "$packages"/nvidia* "$packages"/triton*; do
    [ ! -e "$part" ] || ln -sf "$part" "$here/"
done
exec "$place/bin/python" -m pytest -p no:cacheprovider "$@"
