// A line the height of a table row.

import { useEffect, useRef } from 'react';

import { onThemeChange, token } from '../lib/theme';

interface Props {
  values: (number | null)[];
  color?: string;
  width?: number;
}

const HEIGHT = 20;

export function Sparkline({ values, color = '--accent', width = 64 }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    const draw = () => {
      const element = canvas.current;
      const context = element?.getContext('2d');
      if (!element || !context) return;
      const ratio = window.devicePixelRatio || 1;
      element.width = width * ratio;
      element.height = HEIGHT * ratio;
      context.scale(ratio, ratio);
      const top = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE);
      const step = width / Math.max(1, values.length - 1);
      const y = (value: number) => HEIGHT - 2 - (value / top) * (HEIGHT - 4);
      // Nothing but zeros is no news, whatever the colour stands for.
      context.strokeStyle = token(values.some((value) => value) ? color : '--text-2');
      context.lineWidth = 1.25;
      context.beginPath();
      let drawing = false;
      values.forEach((value, index) => {
        if (value === null) {
          drawing = false;
          return;
        }
        if (!drawing) context.moveTo(Math.max(0, index * step - 1), y(value));
        context.lineTo(index * step, y(value));
        drawing = true;
      });
      context.stroke();
    };
    draw();
    return onThemeChange(draw);
  }, [values, color, width]);

  return <canvas ref={canvas} style={{ width, height: HEIGHT, verticalAlign: 'middle' }} aria-hidden="true" />;
}
