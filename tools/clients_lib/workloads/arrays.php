<?php
// Arrays, strings, JSON and regular expressions; prints checksums.
ini_set('memory_limit', '512M');
mt_srand(42);

function word(): string {
  $text = '';
  for ($i = mt_rand(1, 12); $i > 0; $i--) $text .= chr(97 + mt_rand(0, 25));
  return $text;
}

$index = [];
for ($i = 0; $i < 150000; $i++) $index[word()][] = $i;
ksort($index, SORT_STRING);
echo 'index ', count($index), ' ', md5(serialize($index)), "\n";

$copy = json_decode(json_encode($index), true);
echo 'json ', md5(serialize($copy)), "\n";

$text = implode(' ', array_keys($index));
for ($i = 0; $i < 3; $i++) $text = preg_replace('/([aeiou])(\w)/', '$2$1', $text);
echo 'text ', strlen($text), ' ', md5($text), "\n";

$buffers = array_fill(0, 100, '');
for ($i = 0; $i < 200000; $i++) {
  $at = mt_rand(0, 99);
  $buffers[$at] .= str_repeat('x', mt_rand(0, 200));
  if (strlen($buffers[$at]) > 100000) $buffers[$at] = '';
}
echo 'buffers ', md5(implode('|', $buffers)), "\n";
