/** The part of d3-flame-graph 5 that we use; the package has no types. */
declare module 'd3-flame-graph' {
  import type { HierarchyRectangularNode } from 'd3-hierarchy';
  import type { Selection } from 'd3-selection';

  /** What a frame is drawn from; `hide` and `fade` are written by the chart when it zooms. */
  export interface FlameData {
    readonly name: string;
    readonly value: number;
    readonly children: readonly FlameData[];
    hide?: boolean;
    fade?: boolean;
  }

  export type FlameNode<Data extends FlameData> = HierarchyRectangularNode<Data>;

  /** Shown and hidden by the chart as the pointer moves over frames. Called once with the chart's svg. */
  export interface FlameTooltip<Data extends FlameData> {
    (svg: Selection<SVGSVGElement, unknown, null, undefined>): void;
    show(event: MouseEvent, node: FlameNode<Data>): void;
    hide(): void;
    destroy?(): void;
  }

  /** Setters return the chart. */
  export interface FlameGraph<Data extends FlameData> {
    /** Draws into the selection's elements, whose datum is the tree. Once per selection: {@link update} afterwards. */
    (selection: Selection<HTMLElement, Data, null, undefined>): void;
    width(pixels: number): this;
    cellHeight(pixels: number): this;
    inverted(topDown: boolean): this;
    /** Frames narrower than this are not drawn. */
    minFrameSize(pixels: number): this;
    resetHeightOnZoom(reset: boolean): this;
    transitionDuration(milliseconds: number): this;
    /** False: a frame's value is with its callees'. */
    selfValue(isSelf: boolean): this;
    sort(by: boolean): this;
    title(text: string): this;
    setColorMapper(colour: (node: FlameNode<Data>, original: string) => string): this;
    getName(name: (node: FlameNode<Data>) => string): this;
    tooltip(tip: FlameTooltip<Data>): this;
    onClick(handle: (node: FlameNode<Data>) => void): this;
    zoomTo(node: FlameNode<Data>): void;
    resetZoom(): void;
    update(): this;
    destroy(): this;
  }

  export default function flamegraph<Data extends FlameData>(): FlameGraph<Data>;
}
