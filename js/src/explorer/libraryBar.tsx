/** The header of the library: the search, and how many runs it found. */

import { Button } from "../buttons";
import { formatCount } from "../format";
import { Menu } from "./menu";
import type { Library } from "./state/library";
import { SizeSlider } from "./toolbar";

/** The search field, the filters, and how the runs are shown. */
export function LibraryBar({ library, size }: { library: Library; size: number }) {
  const { query, count, points } = library;
  const { text, filters, stacked } = query;
  const isFiltered = text !== "" || Object.values(filters).some(Boolean);
  const total = formatCount(points.count);
  const problem = library.problem || library.notice;
  return (
    <div class="ck-x-header">
      <div class="ck-line ck-x-line">
        <input
          type="search"
          class="ck-input ck-x-search"
          aria-label="Search the runs"
          placeholder="Search: fox cfg=4.5 tag=cover"
          title="Words of prompts, values, notes and tags; or a value, such as cfg=4.5 (/)"
          value={text}
          disabled={library.channel.closed}
          onInput={(event) => library.find({ text: event.currentTarget.value })}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key === "Enter") focusGrid(event.currentTarget);
          }}
        />
        <span class="ck-name ck-grow" role="status">
          {count >= 0 && <>{isFiltered ? `${formatCount(count)} of ${total} runs` : `${total} runs`}</>}
          {problem && <span class="ck-error"> · {problem}</span>}
        </span>
      </div>
      <div class="ck-line ck-x-toolbar">
        {library.filters.map(({ name, label, options }) => (
          <Menu
            key={name}
            label={label}
            none={label}
            value={filters[name] ?? ""}
            options={options}
            onChoose={(value) => library.find({ filters: { ...filters, [name]: value } })}
          />
        ))}
        {isFiltered && (
          <Button class="ck-link" onClick={() => library.find({ text: "", filters: {} })}>
            Show all
          </Button>
        )}
        <span class="ck-line ck-x-view">
          <Button
            class="ck-button ck-x-small"
            aria-pressed={stacked}
            title="Put runs that differ only in the seed onto one another; g opens a stack"
            onClick={() => library.find({ stacked: !stacked })}
          >
            Stack seeds
          </Button>
          <SizeSlider explorer={library} size={size} />
        </span>
      </div>
    </div>
  );
}

function focusGrid(near: Element): void {
  near.closest(".ck-x")?.querySelector<HTMLElement>(".ck-x-grid")?.focus();
}
