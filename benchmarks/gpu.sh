#!/usr/bin/env bash
# Everything that is measured on a GPU, in one command:
#
#     benchmarks/gpu.sh [--camvid FOLDER]            # at most 25 minutes on one H100 or H200
#     benchmarks/gpu.sh --device cpu --tiny          # a rehearsal without a GPU: the same parts, tiny sizes
#
# It goes part by part. A part that is done is not done again, unless the code is another: after a stop the same
# command goes on. A part that fails or takes too long does not stop the others; the command ends with 1 then.
# Results go to benchmarks/results and into the tables of docs/benchmarks.md; those of a rehearsal to copies in
# the folder of the work.
set -uo pipefail
cd "$(dirname "$0")/.."

device=cuda tiny="" work=runs/gpu camvid=""
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=${2:?--device cuda or cpu}; shift 2 ;;
    --tiny) tiny=yes; shift ;;
    --work) work=${2:?--work FOLDER}; shift 2 ;;
    --camvid) camvid=${2:?--camvid FOLDER}; shift 2 ;;
    --help) usage; exit 0 ;;
    *) echo "gpu.sh: unknown option '$1'." >&2; usage >&2; exit 2 ;;
  esac
done
case $device in
  cpu|cuda) ;;
  *) echo "gpu.sh: --device '$device': cuda or cpu." >&2; exit 2 ;;
esac
if [ "$device" = cuda ] && ! python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "gpu.sh: torch sees no GPU here. A rehearsal without one: benchmarks/gpu.sh --device cpu --tiny" >&2
  exit 2
fi
if [ -n "$camvid" ] && [ ! -d "$camvid" ]; then
  echo "gpu.sh: --camvid $camvid: no such folder." >&2
  exit 2
fi
mkdir -p "$work"
work=$(cd "$work" && pwd)

# What a rehearsal measures is no result.
results=benchmarks/results page=docs/benchmarks.md
if [ -n "$tiny" ]; then
  results=$work/results page=$work/benchmarks.md
  cp docs/benchmarks.md "$page"
fi
# Parts that were done with other code are done again.
code=$(git rev-parse HEAD 2>/dev/null || echo unknown)
failed=() done=0 parts=8

# part NAME SECONDS COMMAND...: run a part that is not done yet, for so many seconds at most.
part() {
  local name=$1 limit=$2 begun=$SECONDS
  shift 2
  done=$((done + 1))
  if [ "$(cat "$work/$name.done" 2>/dev/null)" = "$code" ]; then
    echo "[$done/$parts] $name: done before"
    return
  fi
  echo "[$done/$parts] $name: at most $((limit / 60)) min $((limit % 60)) s; $work/$name.log"
  if timeout "$limit" "$@" >"$work/$name.log" 2>&1; then
    echo "$code" >"$work/$name.done"
    echo "        passed in $((SECONDS - begun)) s"
  else
    local status=$?
    failed+=("$name")
    [ $status -eq 124 ] && echo "        took longer than $limit s" || echo "        failed with $status:"
    tail -n 3 "$work/$name.log" | sed 's/^/        /'
  fi
}
skip() {
  done=$((done + 1))
  echo "[$done/$parts] $1: left out: $2"
}

bench=(--device "$device" --results "$results")
if [ -n "$tiny" ]; then
  bench+=(--machine rehearsal --repeats 1)
  # Of both kinds of tests a quick one: CI runs them all.
  tests=(tests/kernels/test_first_use.py -k formula)
  stops=(-k "depth or stops_are_seen")
  kernels=(--only channel_kl resized_cross_entropy --sizes 20x8x8-32x32 --batch 2)
  steps=(--only pspnet-cwd gfl-cwd --size 64x64 --batch 2 --variants literal float32)
  losses=(--only cwd --shapes 19x16x16 --batch 2)
else
  bench+=(--repeats 20)
  tests=(tests/kernels)
  stops=()
  kernels=(--compiled)
  steps=()
  losses=(--shapes 19x64x128 --batch 8)
fi
export PYTHONPATH=$PWD/src:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}

part kernel-tests 300 python -m pytest -q -p no:cacheprovider "${tests[@]}"
part host-stops 120 python -m pytest -q -p no:cacheprovider tests/test_host_stops.py \
  ${stops[@]+"${stops[@]}"}
part kernels 180 python benchmarks/kernels.py "${bench[@]}" "${kernels[@]}"
part kernels-bf16 180 python benchmarks/kernels.py "${bench[@]}" "${kernels[@]}" --dtype bfloat16 --layout channels-last
part losses 180 python benchmarks/losses.py "${bench[@]}" "${losses[@]}"
part steps 240 python benchmarks/step.py "${bench[@]}" ${steps[@]+"${steps[@]}"}
if [ -n "$camvid" ] && [ -z "$tiny" ]; then
  part camvid 240 python -m densekd train recipes/camvid-r18quarter.yaml --run "$work/camvid" --resume \
    "data.root=$camvid" "data.resize=[360, 480]" "augment.crop=[352, 480]" data.workers=8 data.batch_size=16 \
    training.steps=600 --accelerator cuda
else
  skip camvid "no --camvid FOLDER"
fi
# Tables are made of what is there, so they are never done before.
rm -f "$work/tables.done"
part tables 120 python benchmarks/fill_tables.py --results "$results" --page "$page" --device "$device"

if [ ${#failed[@]} -gt 0 ]; then
  echo "Failed: ${failed[*]}. The same command tries these again."
  exit 1
fi
echo "All parts passed: $results, $page"
