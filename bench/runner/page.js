// Filters, order and ratios of the tables; the charts, where the page has the library for them.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const byId = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll('table.rows tbody tr')];
  const inSuiteOrder = new Map(rows.map((row, index) => [row, index]));
  const colours = {hakmem: '#d3183a', mimalloc: '#2a7fc4', tcmalloc: '#2f9e44', jemalloc: '#9166c9', glibc: '#868b94'};
  const spare = ['#e07b00', '#0aa2a8', '#8c564b', '#c2479c'];
  const shapes = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'crossRot', 'cross', 'rectRounded'];
  const colourOf = (name) => colours[name] || spare[data.names.indexOf(name) % spare.length];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ratioText = (ratio) => ratio < 100 ? ratio.toFixed(2) : ratio.toFixed(0);

  // The figures of a row: {allocator: {line: number}}.
  const collected = (parent, selector, pair) => Object.fromEntries([...parent.querySelectorAll(selector)].map(pair));
  const lines = (cell) => collected(cell, '[data-line]', (line) => [line.dataset.line, Number(line.dataset.value)]);
  const cells = (row) => collected(row, 'td[data-allocator]', (cell) => [cell.dataset.allocator, lines(cell)]);
  const figures = new Map(rows.map((row) => [row, cells(row)]));

  // What a line's ratios refer to: the chosen allocator's figure, or the best; 0 where there is none.
  function reference(row, line) {
    const base = byId('base').value;
    if (base) return (figures.get(row)[base] || {})[line] || 0;
    const known = data.names.map((name) => (figures.get(row)[name] || {})[line]).filter((value) => value > 0);
    return known.length ? Math.min(...known) : 0;
  }

  function showRatios() {
    for (const row of rows) {
      for (const line of row.querySelectorAll('[data-line]')) {
        const to = reference(row, line.dataset.line);
        line.querySelector('.ratio').textContent = to ? ratioText(Number(line.dataset.value) / to) : '';
      }
    }
  }

  function showRows() {
    const words = byId('filter').value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const group = byId('group').value;
    let count = 0;
    for (const row of rows) {
      const text = `${row.dataset.name} ${row.dataset.about}`.toLowerCase();
      const isMeant = !words.length || words.some((word) => text.includes(word));
      row.hidden = !isMeant || (group && row.dataset.group !== group);
      if (!row.hidden) count++;
    }
    byId('count').textContent = `${count} of ${rows.length} rows`;
  }

  function sortRows() {
    const order = byId('order').value;
    const key = {time: (row) => -Number(row.dataset.time), rss: (row) => -Number(row.dataset.rss)}[order];
    const compare = order === 'name' ? (a, b) => a.dataset.name.localeCompare(b.dataset.name)
      : (a, b) => (key ? key(a) - key(b) : 0) || inSuiteOrder.get(a) - inSuiteOrder.get(b);
    for (const row of [...rows].sort(compare)) row.parentNode.append(row);
  }

  // Charts ------------------------------------------------------------------------------------------------------

  const charts = [];
  const times = (value) => `${Number(value.toPrecision(3))}×`;

  function style(axis) {
    const lineColour = (context) => css(context.tick && context.tick.value === axis.unity ? '--ink' : '--line');
    return {...axis, grid: {color: lineColour},
      title: {...axis.title, display: true, color: css('--ink')}, ticks: {...axis.ticks, color: css('--faint')}};
  }

  function options(x, y, label) {
    return {
      animation: false, maintainAspectRatio: false, scales: {x: style(x), y: style(y)},
      interaction: {mode: 'nearest', intersect: true},
      plugins: {
        legend: {labels: {color: css('--ink'), usePointStyle: true}},
        tooltip: {callbacks: {title: () => '', label}},
      },
    };
  }

  function scatterPoints() {
    return data.names.map((name, index) => ({
      label: name, backgroundColor: colourOf(name), borderColor: colourOf(name),
      pointStyle: shapes[index % shapes.length], radius: name === data.subject ? 5.5 : 4, hoverRadius: 8,
      data: rows.filter((row) => !row.hidden && (figures.get(row)[name] || {}).time > 0 && reference(row, 'time') > 0)
        .map((row) => ({row: row.dataset.name, x: figures.get(row)[name].time / reference(row, 'time'),
          y: figures.get(row)[name].rss / reference(row, 'rss')})),
    }));
  }

  const halves = {callback: (value) => {
    const power = Math.log2(value);
    return Math.abs(power - Math.round(power)) < 1e-6 ? times(value) : '';
  }};

  // Ticks at powers of two, which the library's logarithmic axis does not know; the axis ends with its data.
  function powersOfTwo(coordinate) {
    return (axis) => {
      const values = axis.chart.data.datasets.flatMap(({data}) => data.map((point) => point[coordinate]));
      const low = Math.floor(Math.log2(Math.min(0.9, ...values)));
      const high = Math.ceil(Math.log2(Math.max(1.1, ...values)));
      axis.ticks = [];
      for (let power = low; power <= high; power++) axis.ticks.push({value: 2 ** power});
      axis.min = 2 ** low;
      axis.max = 2 ** high;
    };
  }

  function drawScatter() {
    const to = byId('base').value || 'the best of the row';
    const axis = (coordinate, what) => ({type: 'logarithmic', unity: 1, ticks: halves,
      afterBuildTicks: powersOfTwo(coordinate), title: {text: `${what}, ${to} = 1`}});
    const label = ({raw, dataset}) =>
      `${raw.row}, ${dataset.label}: time ${ratioText(raw.x)}, memory ${ratioText(raw.y)}`;
    charts.push(new Chart(byId('scatter'), {type: 'scatter', data: {datasets: scatterPoints()},
      options: options(axis('x', 'time'), axis('y', 'peak RSS'), label)}));
  }

  const shareText = (nines) => nines === 0 ? '0' : `${Number((100 * (1 - 10 ** -nines)).toPrecision(nines + 1))} %`;

  // Shares below 1 are drawn by their nines: 90 %, 99 %, 99.9 %.
  function drawCurve(canvas) {
    const {row, curve} = canvas.dataset;
    const datasets = data.names.filter((name) => data.curves[row][name][curve]).map((name) => ({
      label: name, borderColor: colourOf(name), backgroundColor: colourOf(name), showLine: true, radius: 0,
      hitRadius: 6, borderWidth: name === data.subject ? 3 : 1.5, pointStyle: 'line',
      data: data.curves[row][name][curve].filter(([x, y]) => x < 1 && y > 0)
        .map(([x, y]) => ({x: -Math.log10(1 - x), y})),
    }));
    const label = ({raw, dataset}) =>
      `${dataset.label}: ${shareText(Number(raw.x.toFixed(2)))} within ${Math.round(raw.y)} ns`;
    const most = Math.max(...datasets.flatMap((dataset) => dataset.data.map((point) => point.x)));
    const x = {type: 'linear', min: 0, max: most, ticks: {stepSize: 1, callback: shareText},
      title: {text: 'share of calls'}};
    const y = {type: 'logarithmic', title: {text: 'ns'}, ticks: {callback: (value) =>
      Math.abs(Math.log10(value) % 1) < 1e-6 ? value.toLocaleString('en') : ''}};
    charts.push(new Chart(canvas, {type: 'scatter', data: {datasets}, options: options(x, y, label)}));
  }

  function drawAll() {
    if (typeof Chart === 'undefined' || !byId('scatter')) return;
    charts.splice(0).forEach((chart) => chart.destroy());
    drawScatter();
    document.querySelectorAll('canvas[data-curve]').forEach(drawCurve);
  }

  function redrawScatter() {
    if (!charts.length) return;
    charts.shift().destroy();
    drawScatter();
    charts.unshift(charts.pop());
  }

  byId('filter').addEventListener('input', () => { showRows(); redrawScatter(); });
  byId('group').addEventListener('change', () => { showRows(); redrawScatter(); });
  byId('order').addEventListener('change', sortRows);
  byId('base').addEventListener('change', () => { showRatios(); redrawScatter(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  showRatios();
  showRows();
  drawAll();
})();
