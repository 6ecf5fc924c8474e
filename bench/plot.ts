import type { ContenderName } from './contenders.ts';
import type { StrategyResult } from './rotation.ts';
import { summaryOf } from './summary.ts';

const COLOURS: Readonly<Record<ContenderName, string>> = {
  rekey: '#1f6f54',
  aws: '#d9822b',
  promised: '#7a8b99',
  bare: '#c3ccd4',
};
const LABELS: Readonly<Record<ContenderName, string>> = {
  rekey: 'Rekey',
  aws: "AWS's function",
  promised: 'floor, promises kept',
  bare: 'floor, bare',
};

const LEFT = 230;
const BAR = 14;
const WIDTH = 560;

/** Bars of the warm rotation's median, with a mark at its p95. SVG. */
export function plotOf(results: readonly StrategyResult[]): string {
  const groups = results.map(({ server, strategy, contenders }) => ({
    title: `${server}, ${strategy}`,
    bars: contenders.flatMap((contender) => {
      const summary = contender.failure === undefined ? summaryOf(contender) : undefined;
      return summary ? [{ name: contender.name, median: summary.warmMs, p95: summary.warmP95Ms }] : [];
    }),
  }));
  const longest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ p95 }) => p95)));
  const x = (ms: number) => (ms / longest) * WIDTH;
  const shapes: string[] = [];
  let y = 56;
  for (const { title, bars } of groups) {
    shapes.push(`<text x="${LEFT - 10}" y="${y + 11}" text-anchor="end">${inXml(title)}</text>`);
    for (const { name, median, p95 } of bars) {
      shapes.push(
        `<rect x="${LEFT}" y="${y}" width="${x(median).toFixed(1)}" height="${BAR - 3}" fill="${COLOURS[name]}"/>`,
        `<line x1="${(LEFT + x(p95)).toFixed(1)}" x2="${(LEFT + x(p95)).toFixed(1)}" y1="${y}" y2="${y + BAR - 3}" stroke="${COLOURS[name]}" stroke-width="2"/>`,
        `<text x="${(LEFT + x(p95) + 6).toFixed(1)}" y="${y + 10}">${median.toFixed(0)}</text>`,
      );
      y += BAR;
    }
    y += 12;
  }
  const legend = Object.entries(LABELS).map(([name, label], n) => {
    const left = LEFT + n * 150;
    return `<rect x="${left}" y="34" width="10" height="10" fill="${COLOURS[name as ContenderName]}"/><text x="${left + 15}" y="43">${inXml(label)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 60}" height="${y}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="${LEFT}" y="20" font-size="14">One rotation, warm: milliseconds in the function, median (bar) and p95 (mark)</text>
${[...legend, ...shapes].join('\n')}
</svg>
`;
}

const inXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
