// Takes a query apart well enough to colour it at once. The server's own reading replaces this as soon
// as it arrives, so a rare difference shows for a moment and decides nothing.

import type { Token, TokenKind } from './types';

const SPACE = /\s/;
const NUMBER = /^[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?(?:%|[a-zµ]{1,3})?$/i;
const UNIT = /(?:^|\d)(?:h|m|s|ms|us|µs|ns|b|[kmgt]i?b|%)?$/i;

const isNumber = (text: string) => NUMBER.test(text) && UNIT.test(text);

export function tokenize(text: string): Token[] {
  return new Tokenizer(text).run();
}

class Tokenizer {
  private readonly tokens: Token[] = [];
  private at = 0;
  /** Whether a closing brace ends a word. */
  private braced = false;

  constructor(private readonly text: string) {}

  run(): Token[] {
    let behindBrace = false;
    while (this.skipSpace()) {
      const relation = /^(?:&&|\|\||>>|<<)/.exec(this.text.slice(this.at, this.at + 2));
      const first = this.first();
      if (relation) this.take('relation', 2);
      else if (first === '|') this.call();
      else if (behindBrace && '<>~'.includes(first)) this.take('relation', 1);
      else {
        this.term();
        behindBrace = first === '}';
        continue;
      }
      behindBrace = false;
    }
    return this.tokens;
  }

  private first = () => this.text[this.at] ?? '';

  private skipSpace(): boolean {
    while (SPACE.test(this.first())) this.at += 1;
    return this.at < this.text.length;
  }

  private take(kind: TokenKind, length: number): void {
    const to = Math.min(this.at + length, this.text.length);
    this.tokens.push({ kind, from: this.at, to });
    this.at = to;
  }

  private takeTo(kind: TokenKind, to: number): void {
    this.take(kind, Math.max(1, to - this.at));
  }

  /** Where the word ends that begins here. Braces within a word, as in `/users/{id}`, belong to it. */
  private wordEnd(stops: string, from = this.at): number {
    let open = 0;
    let at = from;
    for (; at < this.text.length; at += 1) {
      const character = this.text[at] ?? '';
      if (SPACE.test(character) || stops.includes(character) || (character === '}' && open === 0 && this.braced)) break;
      if (character === '\\') at += 1;
      else if (character === '{') open += 1;
      else if (character === '}') open = Math.max(0, open - 1);
    }
    return Math.min(at, this.text.length);
  }

  /** Where the quoted text ends that begins there, and whether its closing quote is there. */
  private quoteEnd(from: number): [number, boolean] {
    for (let at = from + 1; at < this.text.length; at += 1) {
      if (this.text[at] === '\\') at += 1;
      else if (this.text[at] === '"') return [at + 1, true];
    }
    return [this.text.length, false];
  }

  private term(): void {
    const first = this.first();
    if (first === '{' || first === '}') {
      this.braced = first === '{';
      this.take('bracket', 1);
    } else if (first === '(' || first === ')') this.take('bracket', 1);
    else if (first === '-') this.take('operator', 1);
    else if (first === ':') this.take('error', 1);
    else this.word();
  }

  /** A field with what stands behind its colon, or a word. */
  private word(): void {
    const key = this.first() === '@' ? this.at + 1 : this.at;
    const isQuoted = this.text[key] === '"';
    const [to, closed] = isQuoted ? this.quoteEnd(key) : [this.wordEnd('()":', key), true];
    if (!closed) return this.takeTo('error', to);
    if (this.text[to] === ':' && to > key) {
      this.takeTo('field', to + 1);
      return this.value();
    }
    const written = this.text.slice(this.at, to);
    this.takeTo(['AND', 'OR', 'NOT'].includes(written) ? 'operator' : 'word', to);
  }

  private value(): void {
    const first = this.first();
    if (first === '(' || first === '[') this.group(first === '(' ? ')' : ']', first === '(' ? 'OR' : 'TO');
    else if (first === '<' || first === '>') {
      this.take('operator', this.text[this.at + 1] === '=' ? 2 : 1);
      this.scalar('()"');
    } else this.scalar('()"');
  }

  /** The values between the parentheses, or the ends between the brackets, behind a colon. */
  private group(close: string, joiner: string): void {
    this.take('bracket', 1);
    while (this.skipSpace() && this.first() !== '}') {
      if (this.first() === close) return this.take('bracket', 1);
      const isJoiner = this.text.slice(this.at, this.wordEnd('()"]')) === joiner;
      if (isJoiner) this.take('operator', joiner.length);
      else if (close === ')') this.value();
      else this.scalar('()"]');
    }
  }

  private scalar(stops: string): void {
    const first = this.first();
    if (first === '"') {
      const [to, closed] = this.quoteEnd(this.at);
      return this.takeTo(closed ? 'value' : 'error', to);
    }
    const pattern = first === '/' ? this.patternEnd() : 0;
    if (pattern > 0) return this.takeTo('regex', pattern);
    const to = this.wordEnd(stops);
    if (to > this.at) this.takeTo(isNumber(this.text.slice(this.at, to)) ? 'number' : 'value', to);
    else if (first !== '' && !SPACE.test(first) && first !== ')' && first !== '}') this.take('error', 1);
  }

  /** Where `/pattern/` ends; zero when it is a path, whose second slash does not end the value. */
  private patternEnd(): number {
    const found = /^\/(?:\\.|[^\\/\s])+\/(?=[\s)}]|$)/.exec(this.text.slice(this.at));
    return found ? this.at + found[0].length : 0;
  }

  /** A function behind a bar, and what it is compared with. */
  private call(): void {
    this.take('pipe', 1);
    if (this.skipSpace() && !'()|'.includes(this.first())) this.takeTo('function', this.wordEnd('()",|<>'));
    if (this.skipSpace() && this.first() === '(') this.arguments();
    if (this.skipSpace() && '<>'.includes(this.first())) this.take('operator', this.text[this.at + 1] === '=' ? 2 : 1);
    else return;
    if (this.skipSpace() && this.first() !== '|') this.scalar('()",|<>');
  }

  private arguments(): void {
    let depth = 0;
    while (this.skipSpace()) {
      const of = depth === 1 && /^duration(?=\s*[,)])/.exec(this.text.slice(this.at));
      if (of) this.take('field', of[0].length);
      else if (this.first() === ',') this.take('bracket', 1);
      else {
        depth += this.first() === '(' ? 1 : this.first() === ')' ? -1 : 0;
        this.term();
        if (depth === 0) return;
      }
    }
  }
}
