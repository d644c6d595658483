// Names and values, as somebody said them.

export function Values({ values }: { values: Record<string, unknown> }) {
  return (
    <dl>
      {Object.entries(values).map(([key, value]) => [
        <dt key={`${key} key`}>{key}</dt>,
        <dd key={key}>{typeof value === 'string' ? value : JSON.stringify(value)}</dd>,
      ])}
    </dl>
  );
}
