# Arrays and strings in bash alone; prints checksums.
state=12345
rnd() { state=$(((state * 1103515245 + 12345) & 0x7fffffff)); REPLY=$(((state >> 8) % $1)); }

letters=abcdefghijklmnopqrstuvwxyz
word() {
  local text= n i
  rnd 10
  n=$REPLY
  for ((i = 0; i <= n; i++)); do
    rnd 26
    text+=${letters:REPLY:1}
  done
  REPLY=$text
}

declare -a list
declare -A count
for ((i = 0; i < 10000; i++)); do
  word
  list[i]=$REPLY
  ((count[$REPLY]++))
done
echo "words ${#list[@]} ${#count[@]}"

joined="${list[*]}"
upper=${joined^^}
swapped=${upper//[AEIOU]/_}
echo "strings ${#joined} ${#swapped} ${swapped:1000:40}"

declare -a sparse
for ((i = 0; i < 100000; i++)); do sparse[i * 7]=$i; done
for ((i = 0; i < 100000; i += 2)); do unset "sparse[i * 7]"; done
echo "sparse ${#sparse[@]}"

mapfile -t sorted < <(printf '%s\n' "${!count[@]}" | LC_ALL=C sort)
echo "sorted ${#sorted[@]} ${sorted[0]} ${sorted[-1]}"

total=0
for ((i = 0; i < 1000; i++)); do
  line=$(printf '%s:' "${list[@]:i:5}")
  total=$(((total * 31 + ${#line}) % 1000003))
done
echo "forks $total"

buffer=
for ((i = 0; i < 10000; i++)); do buffer+=${list[i]}; done
read -r -d '' text <<END
$buffer
END
echo "buffer ${#buffer} ${#text}"
